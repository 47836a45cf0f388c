"""What a change is based on, as HTTP says it: a flag's revision is its entity tag."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flags.errors import PreconditionFailedError
from schemas.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_STRONG_TAG = re.compile(r'"(\d{1,18})"', re.ASCII)

UNCHANGED = 0


def etag(revision: int) -> str:
    """Return a revision as an entity tag."""
    return f'"{revision}"'


def expected_revision(name: str, headers: Mapping[str, str], *, exists_always: bool) -> int | None:
    """Return the revision that a flag must have, as `flags.edits.Edit` says it; None: whichever.

    Args:
        name: Of the flag.
        headers: Of the request; `If-Match` with one tag, or `If-None-Match: *`.
        exists_always: Whether it is one of our own, which cannot be made.

    Raises:
        InvalidRequestError: The headers say something else, or both.
        PreconditionFailedError: No flag will ever be as they say.
    """
    wanted, unwanted = headers.get("If-Match"), headers.get("If-None-Match")
    if wanted is not None and unwanted is not None:
        raise InvalidRequestError("If-Match and If-None-Match exclude each other.")
    if unwanted is not None:
        if unwanted.strip() != "*":
            raise InvalidRequestError("If-None-Match is * here: there must be no such flag yet.")
        if exists_always:
            raise PreconditionFailedError(f"The flag {name} is one of our own, and there already.")
        return UNCHANGED
    if wanted is None:
        return None
    tag = _STRONG_TAG.fullmatch(wanted.strip())
    if tag is None:
        raise InvalidRequestError('If-Match is one revision here, in quotes, such as "41".')
    return int(tag[1])
