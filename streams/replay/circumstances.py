"""What of an answer was due to the moment: utterances that waited, tiers that could not answer in time.

A brown-out is replayed as one, so that like is compared with like. An answer that a tier failed to give is left out:
the difference would tell of that hour, and not of a release or a flag. A tier that was never installed is no
circumstance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.router import DISTILBERT
from schemas.events import Outcome
from streams.decide import BROWN_OUT

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from schemas.events import Attempt

_FAILED = frozenset({Outcome.TIMEOUT, Outcome.FAILED, Outcome.OPEN})


def browned_out(tried: Sequence[Attempt]) -> bool:
    """Return whether an answer stood because utterances waited."""
    return any(attempt.reason == BROWN_OUT for attempt in tried)


def hampered(tried: Sequence[Attempt], release: str, ready: Container[str]) -> bool:
    """Return whether a tier failed to answer that could have.

    Args:
        tried: Every tier's turn.
        release: That answered.
        ready: The tiers that are there now.
    """
    return any(
        attempt.outcome in _FAILED
        or (attempt.outcome is Outcome.UNAVAILABLE and _was_there(attempt.tier, release, ready))
        for attempt in tried
    )


def _was_there(tier: str, release: str, ready: Container[str]) -> bool:
    """Return whether a tier belonged to what served; it was not loaded yet, then, or busy.

    A release names its fine-tuned tier; of the others, what is there now is taken for what was.
    """
    return f"+{DISTILBERT}." in release if tier == DISTILBERT else tier in ready
