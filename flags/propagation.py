"""Waiting until a change is in force everywhere: what who writes flags over HTTP asks of who knows the workers."""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec
from msgspec import Meta


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """How far a change has come."""

    workers: Annotated[int, Meta(ge=0, description="How many live workers have applied it.")]
    missing: Annotated[tuple[str, ...], Meta(description="Live workers that had not at the deadline, by id.")] = ()


class Propagation(Protocol):
    """Who knows which workers are alive and what each has applied."""

    async def wait_applied(self, revision: int, deadline_seconds: float) -> Applied:
        """Return once every live worker has applied a revision, or when the deadline is over.

        A worker that dies meanwhile is not waited for.

        Args:
            revision: Of the flags; all before it are applied as well.
            deadline_seconds: How long to wait at most.
        """
        ...
