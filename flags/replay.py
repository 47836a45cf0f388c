"""Decides past questions again, under the flags as they were: proof that the audit tells the whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from flags.evaluation import Context, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schemas.events import FlagChange

_SHOWN = 20
"""Differences that are kept: where there is one, there may be a million."""


class PastDecision(msgspec.Struct, frozen=True):
    """What somebody was told.

    Attributes:
        revision: Of the flags it was decided by.
        flag: Which was asked for.
        context: Who asked.
        value: The answer.
        variant: The answer's name.
    """

    revision: int
    flag: str
    context: Context
    value: Any
    variant: str | None


class Difference(msgspec.Struct, frozen=True):
    """A past decision, and what would be said now of the flags as they were then."""

    decision: PastDecision
    value: Any
    variant: str | None


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """How a replay went.

    Attributes:
        decisions: How many were decided again.
        identical: How many of them came out as they had been.
        differences: The first of the others.
    """

    decisions: int
    identical: int
    differences: tuple[Difference, ...]


def replay(
    history: Iterable[FlagChange],
    decisions: Iterable[PastDecision],
    *,
    overrides: Mapping[str, bool] | None = None,
) -> Replay:
    """Decide again, each decision under the flags of its revision; both streams are walked through once.

    Args:
        history: Every change, the oldest first, as `flags.history.read_history` reads it from the audit.
        decisions: In the order of their revisions.
        overrides: What the environment of whoever decided said.

    Raises:
        ValueError: A decision is of an earlier revision than the one before it, or of one that is not in the history.
    """
    states = _States(history, overrides)
    count, differences = 0, 0
    shown: list[Difference] = []
    snapshot = states.at(0)
    for count, decision in enumerate(decisions, start=1):  # noqa: B007 - how many there were
        if decision.revision != snapshot.revision:
            snapshot = states.at(decision.revision)
        now = snapshot.evaluate(decision.flag, decision.context)
        if now.value != decision.value or now.variant != decision.variant:
            differences += 1
            if differences <= _SHOWN:
                shown.append(Difference(decision, now.value, now.variant))
    return Replay(decisions=count, identical=count - differences, differences=tuple(shown))


class _States:
    """The flags at one revision after another, each snapshot made from the one before."""

    def __init__(self, history: Iterable[FlagChange], overrides: Mapping[str, bool] | None) -> None:
        self._overrides = overrides
        self._history = iter(history)
        self._following = next(self._history, None)
        self._changes: dict[str, FlagChange] = {}
        self._snapshot = Snapshot(overrides)

    def at(self, revision: int) -> Snapshot:
        reached = self._snapshot.revision
        if revision < reached:
            raise ValueError(f"a decision of revision {revision} comes after one of {reached}")
        while self._following is not None and self._following.revision <= revision:
            self._changes[self._following.name] = self._following
            reached = self._following.revision
            self._following = next(self._history, None)
        if reached != revision:
            raise ValueError(f"a decision is of revision {revision}, and the history has none between {reached} and it")
        self._snapshot = Snapshot(self._overrides, revision, changes=self._changes, before=self._snapshot)
        return self._snapshot
