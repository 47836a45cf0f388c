"""A classifier of the past at work: the very parts that decide in a worker, told which flags and lessons to go by.

What belongs to the moment is not replayed: deadlines are as long as may be, and no answer comes from a cache.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Self

from flags.evaluation import Snapshot
from models.classifier import Classifier
from models.learning.corrector import Corrector
from models.serving import Serving
from streams.brown_out import BrownOut
from streams.decide import FlaggedClassifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.learning.lessons import Lessons
    from schemas.cloudevents import Received
    from schemas.settings import Settings
    from streams.replay.releases import Opened
    from streams.results import Decision

_PATIENCE_SECONDS = 60.0
"""The longest that the setting may be: what is slow here is nobody's waiting."""

_AT_ONCE = 1_000
_MOST_OPEN = 2
"""Classifiers; each holds the weights of its tiers."""


class Conditions(NamedTuple):
    """What decisions are taken under.

    Attributes:
        flags: As they were, or would be.
        lessons: Likewise.
        browned_out: Whether utterances waited too long for the dearer tiers.
    """

    flags: Snapshot
    lessons: Lessons
    browned_out: bool = False


class Bench:
    """One release's classifier, and what steers it. Belongs to one event loop; use as a context manager.

    Args:
        settings: Of chain and models.
        opened: The release.

    Attributes:
        classifier: Of the release.
        nearness_skipped_texts: Of which could not be found out whether a lesson speaks for them.
    """

    def __init__(self, settings: Settings, opened: Opened) -> None:
        self.classifier = Classifier(settings, opened.catalogue, announced=opened.announced, share=False)
        self.nearness_skipped_texts = 0
        self._corrector = Corrector(
            lambda: self.classifier.surroundings, deadline_seconds=_PATIENCE_SECONDS, observer=self
        )
        self._learnt: int | None = None
        self._flags = Snapshot()
        self._brown_out = BrownOut(0.0)
        self._decider = FlaggedClassifier(
            Serving(self.classifier), lambda: self._flags, brown_out=self._brown_out, corrector=self._corrector
        )

    async def open(self) -> None:
        """Load every tier, making first what is missing of it, and what is known of them."""
        await self.classifier.start()
        await self.classifier.loaded()

    async def close(self) -> None:
        """Let go of the models."""
        self._corrector.close()
        await self.classifier.close()

    def ready(self) -> set[str]:
        """Return the tiers that are there."""
        return {name for name, tier in self.classifier.tiers.items() if tier.ready}

    async def decide(self, said: Sequence[Received], conditions: Conditions) -> list[Decision]:
        """Return one decision for each utterance, in their order."""
        if conditions.lessons.revision != self._learnt:
            self._corrector.learn(conditions.lessons)
            self._learnt = conditions.lessons.revision
        self._flags, self._brown_out.active = conditions.flags, conditions.browned_out
        decisions: list[Decision] = []
        for start in range(0, len(said), _AT_ONCE):
            decisions += await self._decider.decide(said[start : start + _AT_ONCE])
        return decisions

    def nearness_skipped(self, texts: int) -> None:
        """Count texts, as the corrector's observer."""
        self.nearness_skipped_texts += texts


class Benches:
    """The benches in use, by release: the latest few stay open. Use as an asynchronous context manager.

    Args:
        settings: As the workers have them; those that belong to the moment are replaced.

    Attributes:
        loading_seconds: What opening took, all in all.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(
            update={
                "chain": settings.chain.model_copy(update={"tier_deadline_seconds": _PATIENCE_SECONDS}),
                "cache": settings.cache.model_copy(update={"local_entries": 0}),
            }
        )
        self._open: OrderedDict[str, Bench] = OrderedDict()
        self.loading_seconds = 0.0
        self._skipped = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._open:
            await self._close_oldest()

    @property
    def nearness_skipped(self) -> int:
        """Return of how many texts could not be found out whether a lesson speaks for them."""
        return self._skipped + sum(bench.nearness_skipped_texts for bench in self._open.values())

    async def of(self, opened: Opened) -> Bench:
        """Return the bench of a release."""
        bench = self._open.get(opened.name)
        if bench is None:
            while len(self._open) >= _MOST_OPEN:
                await self._close_oldest()
            begun = time.monotonic()
            bench = self._open[opened.name] = Bench(self._settings, opened)
            await bench.open()
            self.loading_seconds += time.monotonic() - begun
        self._open.move_to_end(opened.name)
        return bench

    async def _close_oldest(self) -> None:
        _, bench = self._open.popitem(last=False)
        self._skipped += bench.nearness_skipped_texts
        await bench.close()
