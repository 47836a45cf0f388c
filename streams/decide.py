"""Decides about utterances: the flags say for each user which way to go, the classifier goes it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, Protocol

from flags.evaluation import utterance_attributes
from models.router import choose_strategy, route
from schemas.events import Utterance
from streams.results import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flags.evaluation import Snapshot
    from models.classifier import Classifier
    from models.router import Route
    from schemas.cloudevents import Received


FLAGS = (
    "adaptive_routing",
    "performance_mode",
    "quality_mode",
    "distilbert_model",
    "zero_shot_fallback",
    "caching",
)
"""The flags that a decision asks, for each user."""


_NOBODY = Utterance(text="-")


class FlagsObserver(Protocol):
    """Who counts evaluations. Called on the event loop, once a batch; must not block."""

    def flag_evaluated(self, flag: str, variant: str, utterances: int) -> None:
        """Count what a flag was for so many utterances."""


class _Way(NamedTuple):
    """How a user's utterances are classified."""

    route: Route
    caching: bool
    states: tuple[bool, ...]


class FlaggedClassifier:
    """A classifier steered by flags.

    Args:
        classifier: What answers.
        flags: Returns the flags as they stand; asked once a batch, so that a batch sees one state.
        observer: Who counts, if anyone does.
    """

    def __init__(
        self, classifier: Classifier, flags: Callable[[], Snapshot], observer: FlagsObserver | None = None
    ) -> None:
        self._classifier = classifier
        self._flags = flags
        self._observer = observer

    def tiers_wanted(self) -> tuple[str, ...]:
        """Return the tiers that the flags put into the chain for users nobody singled out."""
        return _way(self._flags(), _NOBODY).route.order

    async def decide(self, utterances: Sequence[Received]) -> list[Decision]:
        """Return one decision for each utterance, in their order."""
        flags, release = self._flags(), self._classifier.release
        rows: defaultdict[_Way, list[int]] = defaultdict(list)
        for row, received in enumerate(utterances):
            rows[_way(flags, received.utterance)].append(row)
        decisions: dict[int, Decision] = {}
        for way, those in rows.items():
            texts = [utterances[row].utterance.text for row in those]
            answers = await self._classifier.classify(texts, way.route, caching=way.caching)
            strategy = way.route.strategy.value
            self._count(way, len(those))
            for row, answer in zip(those, answers, strict=True):
                decisions[row] = Decision(answer, strategy, release, flags.revision)
        return [decisions[row] for row in range(len(utterances))]

    def _count(self, way: _Way, utterances: int) -> None:
        if self._observer is not None:
            for flag, state in zip(FLAGS, way.states, strict=True):
                self._observer.flag_evaluated(flag, "on" if state else "off", utterances)


def _way(flags: Snapshot, utterance: Utterance) -> _Way:
    user, attributes = utterance.user_id, utterance_attributes(utterance)
    states = tuple(flags.enabled(name, user, attributes) for name in FLAGS)
    adaptive, performance, quality, distilbert, zero_shot, caching = states
    strategy = choose_strategy(adaptive_routing=adaptive, performance_mode=performance, quality_mode=quality)
    return _Way(route(strategy, distilbert=distilbert, zero_shot=zero_shot), caching, states)
