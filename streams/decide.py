"""Decides about utterances: the flags say for each user which way to go, the classifier goes it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from models.router import choose_strategy, route
from streams.results import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flags.evaluation import Snapshot
    from models.classifier import Classifier
    from models.router import Route
    from schemas.cloudevents import Received


class _Way(NamedTuple):
    """How a user's utterances are classified."""

    route: Route
    caching: bool


class FlaggedClassifier:
    """A classifier steered by flags.

    Args:
        classifier: What answers.
        flags: Returns the flags as they stand; asked once a batch, so that a batch sees one state.
    """

    def __init__(self, classifier: Classifier, flags: Callable[[], Snapshot]) -> None:
        self._classifier = classifier
        self._flags = flags

    def tiers_wanted(self) -> tuple[str, ...]:
        """Return the tiers that the flags put into the chain for users nobody singled out."""
        return _way(self._flags(), None).route.order

    async def decide(self, utterances: Sequence[Received]) -> list[Decision]:
        """Return one decision for each utterance, in their order."""
        flags, release = self._flags(), self._classifier.release
        ways: dict[str | None, _Way] = {}
        rows: defaultdict[_Way, list[int]] = defaultdict(list)
        for row, received in enumerate(utterances):
            user = received.utterance.user_id
            way = ways.get(user)
            if way is None:
                way = ways[user] = _way(flags, user)
            rows[way].append(row)
        decisions: dict[int, Decision] = {}
        for way, those in rows.items():
            texts = [utterances[row].utterance.text for row in those]
            answers = await self._classifier.classify(texts, way.route, caching=way.caching)
            strategy = way.route.strategy.value
            for row, answer in zip(those, answers, strict=True):
                decisions[row] = Decision(answer, strategy, release, flags.revision)
        return [decisions[row] for row in range(len(utterances))]


def _way(flags: Snapshot, user: str | None) -> _Way:
    strategy = choose_strategy(
        adaptive_routing=flags.enabled("adaptive_routing", user),
        performance_mode=flags.enabled("performance_mode", user),
        quality_mode=flags.enabled("quality_mode", user),
    )
    return _Way(
        route(
            strategy,
            distilbert=flags.enabled("distilbert_model", user),
            zero_shot=flags.enabled("zero_shot_fallback", user),
        ),
        flags.enabled("caching", user),
    )
