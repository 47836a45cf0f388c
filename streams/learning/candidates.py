"""What the classifier thinks of texts that people corrected: what the guard holds corrections against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.router import route
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from models.serving import Serving

_USUAL = route(Strategy.ADAPTIVE, distilbert=False, zero_shot=True)
"""How the guard asks the classifier, whatever the flags say: verdicts are nobody's experiment."""


async def candidates_of(serving: Serving, texts: Sequence[str]) -> list[Collection[str | None]]:
    """Return the likeliest intents of each text, whatever people said of it; None is out of scope."""
    with serving.call() as classifier:
        answers = await classifier.classify(texts, _USUAL)
    return [{answer.intent, *(other.intent for other in answer.alternatives)} for answer in answers]
