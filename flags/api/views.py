"""What HTTP callers are answered about flags."""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from flags.compiling import ErrorCode, Origin, Reason  # noqa: TC001 - msgspec reads them from here
from flags.propagation import Applied  # noqa: TC001 - likewise
from schemas.events import FlagChange

Revision = Annotated[int, Meta(ge=0, description="Of the flags; 0: nobody has changed any.")]


class FlagView(FlagChange, frozen=True, kw_only=True, omit_defaults=False):
    """A flag as it is now; one of ours that nobody has changed is its default, at revision 0."""

    revision: Annotated[int, Meta(ge=0, description="Of its last change, and its ETag; 0: never changed.")] = 0
    changed_by: Annotated[str, Meta(description="Who changed it last; empty: nobody.")] = ""
    changed_at: Annotated[str, Meta(description="When, RFC 3339, UTC; empty: never.")] = ""
    overridden: Annotated[
        bool | None, Meta(description="What the environment of this worker says, which stands above; `null`: nothing.")
    ] = None


class WrittenFlag(FlagView, frozen=True, kw_only=True, omit_defaults=False):
    """A flag as it stands in the log now."""

    applied: Annotated[Applied | None, Meta(description="Who decides by it already, where that was waited for.")] = None


class FlagList(msgspec.Struct, frozen=True, kw_only=True):
    """Every flag and segment, as this worker decides by them."""

    revision: Revision
    current: Annotated[bool, Meta(description="Whether this worker has read the log; if not, its last known state.")]
    age_seconds: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="For how long nothing newer could be known; `null`: since it started."),
    ]
    warnings: Annotated[tuple[str, ...], Meta(description="What contradicts itself, and how it is settled.")]
    flags: tuple[FlagView, ...]


class CheckedFlag(msgspec.Struct, frozen=True, kw_only=True):
    """What a flag is for somebody, in OpenFeature's terms."""

    name: str
    value: Annotated[Any, Meta(description="Of the flag's type.")]
    variant: str | None
    reason: Reason
    error_code: Annotated[ErrorCode | None, Meta(description="Set only with the reason `ERROR`.")]
    version: Annotated[int, Meta(ge=0, description="The revision of the flag's last change; 0: never changed.")]
    origin: Annotated[Origin, Meta(description="Where its state comes from.")]
    detail: Annotated[str, Meta(description="The reason, for a person.")]
    revision: Revision


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a flag, the newest first."""

    changes: tuple[FlagChange, ...]
    next_before: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="`before` of the next page; `null`: there is none.")
    ]


def finite(number: float) -> float | None:
    """Return a number as JSON can say it; None: it is infinite, or none."""
    return number if math.isfinite(number) else None
