"""What a change of a flag may be refused with; each says what its author can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.errors import IntentStreamError

if TYPE_CHECKING:
    from collections.abc import Sequence


class InvalidFlagError(IntentStreamError):
    """A change that makes no sense. Nothing was written.

    Attributes:
        faults: Everything that is wrong with it, a sentence each.
    """

    code = "invalid_flag"
    http_status = 422
    exit_code = 65

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        super().__init__(f"The flag {name} cannot be changed so:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = tuple(faults)


class PreconditionFailedError(IntentStreamError):
    """The flag is no longer what the change was based on: read it again, and decide again. Nothing was written.

    Attributes:
        revision: Of the flag's last change; 0: it was never changed; None: that is not what it failed at.
    """

    code = "precondition_failed"
    http_status = 412
    exit_code = 75

    def __init__(self, message: str, *, revision: int | None = None) -> None:
        super().__init__(message)
        self.revision = revision


class ConflictError(IntentStreamError):
    """Other writers took the turn again and again. Nothing was written; trying again later is right."""

    code = "conflict"
    http_status = 409
    exit_code = 75
