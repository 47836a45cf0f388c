"""Asks the release that is tried about utterances that were just answered, and says what it would have said.

Nobody waits for it: an answer is given first. It is asked about so many in a second, one call at a time, and not at all
while utterances wait for their answers; what it is not asked about is counted. Lives on the loop that decides.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from models.learning.corrector import TIER as PEOPLE
from streams.results import timestamp
from streams.trials.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.answer import Answer
    from models.router import Route
    from models.serving import Candidate, Serving
    from schemas.cloudevents import Received
    from schemas.events import ShadowReport

_log = structlog.get_logger(__name__)

_MOST_TEXTS = 64
"""Of one call: a few milliseconds for a head, a tenth of a second for a network."""
_REPORT_SECONDS = 5.0
_REPORT_TEXTS = 1_000

_Pair = tuple["Received", "Answer"]


class ShadowObserver(Protocol):
    """Who counts. Called on the loop that decides; must not block."""

    def shadow_asked(self, outcome: str, texts: int) -> None:
        """Count utterances by whether the candidate agreed, differed or was not asked."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class Shadow:
    """What asks.

    Args:
        serving: Holds what is asked for as long as that takes.
        per_second: The most utterances, at most `_MOST_TEXTS` at a time.
        browned_out: Returns whether utterances wait.
        report: Takes what was found; must not block.
        worker_id: Who we are.
        observer: Who counts.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        serving: Serving,
        *,
        per_second: float,
        browned_out: Callable[[], bool],
        report: Callable[[ShadowReport], None],
        worker_id: str,
        observer: ShadowObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._serving = serving
        self._per_second = per_second
        self._browned_out = browned_out
        self._report = report
        self._worker_id = worker_id
        self._observer = observer
        self._clock = clock
        self._room, self._filled_at = 0.0, clock()
        self._asking: asyncio.Task[None] | None = None
        self._tally: Tally | None = None
        self._reporting: asyncio.TimerHandle | None = None

    def offer(
        self, candidate: Candidate, said: Sequence[Received], answers: Sequence[Answer], route: Route, *, served_by: str
    ) -> None:
        """Ask, some time soon, what a candidate would have answered; to what people corrected it would be the same."""
        pairs = [pair for pair in zip(said, answers, strict=True) if pair[1].tier != PEOPLE]
        idle = self._asking is None or self._asking.done()
        room = self._take_room(len(pairs)) if idle and not self._browned_out() else 0
        tally = self._tally_of(candidate, served_by)
        tally.skipped += len(pairs) - room
        self._observer.shadow_asked("skipped", len(pairs) - room)
        if room:
            self._asking = asyncio.create_task(self._ask(candidate, pairs[:room], route, served_by))

    async def settled(self) -> None:
        """Wait for what is being asked."""
        if self._asking is not None:
            await asyncio.gather(self._asking, return_exceptions=True)

    def flush(self) -> None:
        """Report what was found until now."""
        tally, self._tally = self._tally, None
        if self._reporting is not None:
            self._reporting.cancel()
            self._reporting = None
        if tally is not None and (tally.texts or tally.skipped):
            self._report(tally.report(self._worker_id, timestamp(time.time())))

    def _take_room(self, wanted: int) -> int:
        """Return how many may be asked about now, of so many; what nobody used of a second is left for the next."""
        now = self._clock()
        most = max(1.0, min(self._per_second, _MOST_TEXTS))
        self._room = min(most, self._room + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        taken = min(wanted, int(self._room))
        self._room -= taken
        return taken

    def _tally_of(self, candidate: Candidate, served_by: str) -> Tally:
        about = (candidate.record.name, candidate.record.release, served_by)
        if self._tally is not None and self._tally.about != about:
            self.flush()
        if self._tally is None:
            self._tally = Tally(*about)
            self._reporting = asyncio.get_running_loop().call_later(_REPORT_SECONDS, self.flush)
        return self._tally

    async def _ask(self, candidate: Candidate, pairs: Sequence[_Pair], route: Route, served_by: str) -> None:
        if self._serving.candidate is not candidate:
            return  # it was withdrawn a moment ago, and is being closed
        texts = [received.utterance.text for received, _ in pairs]
        begun = self._clock()
        try:
            with self._serving.hold(candidate.classifier) as classifier:
                answers = await classifier.classify(texts, route, caching=False)
        except Exception as error:  # noqa: BLE001 - the shadow's guard: what is only tried must not disturb what serves
            self._observer.unexpected("shadow")
            _log.error("shadow_failed", texts=len(texts), error=type(error).__name__)
            return
        if self._serving.candidate is not candidate:
            return
        tally = self._tally_of(candidate, served_by)  # another, where that of before was reported meanwhile
        tally.took(self._clock() - begun)
        for (received, served), answer in zip(pairs, answers, strict=True):
            tally.add(received, served, answer)
        different = sum(served.intent != answer.intent for (_, served), answer in zip(pairs, answers, strict=True))
        self._observer.shadow_asked("different", different)
        self._observer.shadow_asked("same", len(pairs) - different)
        if tally.texts >= _REPORT_TEXTS:
            self.flush()
