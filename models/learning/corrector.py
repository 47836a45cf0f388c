"""Answers as people corrected, before anybody else is asked; and keeps what is remembered of their corrections.

Lessons come on one thread and are asked for on an event loop: what is remembered is swapped as a whole.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

import numpy as np
import structlog

from models.answer import Answer
from models.learning.recollection import Recollection
from models.text import normalise
from models.threads import DaemonThread
from schemas.events import Attempt, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from models.encoder import Encoder
    from models.learning.lessons import Lessons
    from models.learning.recollection import Match, Surroundings

TIER = "corrections"
"""The tier of an answer that people gave."""

_AT_ONCE = 64
"""So many new texts are embedded before they decide; of more, the texts themselves decide in the meantime."""

_log = structlog.get_logger(__name__)


class CorrectorObserver(Protocol):
    """Who counts. Called from any thread; must not block."""

    def nearness_skipped(self, texts: int) -> None:
        """Count texts of which it took too long to find out what is near."""


class Corrector:
    """What is remembered, and the thread on which it is found out what is near.

    Args:
        surroundings: Returns what tells what is near, once there is something; another thing when another one serves.
        deadline_seconds: How long a batch waits for that; then only the very texts that were corrected are known.
        observer: Who counts.
    """

    def __init__(
        self,
        surroundings: Callable[[], Surroundings | None],
        *,
        deadline_seconds: float,
        observer: CorrectorObserver,
    ) -> None:
        self._surroundings = surroundings
        self._deadline_seconds = deadline_seconds
        self._observer = observer
        self._current = Recollection({}, 0)
        self._embedded_by: Encoder | None = None
        self._looked_around: Surroundings | None = None
        self._embeddings: dict[str, npt.NDArray[np.float32]] = {}
        self._thread = DaemonThread("corrections")
        self._running_since: float | None = None

    @property
    def current(self) -> Recollection:
        """Return what is remembered now; never changed, but replaced. From any thread."""
        return self._current

    def close(self) -> None:
        """End the thread once the call before has returned."""
        self._thread.shutdown()

    # On the thread of whoever follows the lessons.

    def learn(self, lessons: Lessons) -> None:
        """Answer by these from now on."""
        self._remember(Recollection(lessons.accepted(), lessons.revision))

    def refresh(self) -> None:
        """Find out what is near by what serves now, if that has changed."""
        if self._surroundings() is not self._looked_around:
            self._remember(self._current.copy())

    def _remember(self, recollection: Recollection) -> None:
        surroundings = self._surroundings()
        if surroundings is not None and len(recollection):
            try:
                self._look_around(recollection, surroundings)
            except Exception as error:  # noqa: BLE001 - the guard of nearness: without it, lessons decide their very texts
                self._observer.nearness_skipped(len(recollection))
                _log.error("nearness_failed", texts=len(recollection), fault=type(error).__name__)
        self._current, self._looked_around = recollection, surroundings

    def _look_around(self, recollection: Recollection, surroundings: Surroundings) -> None:
        """Have lessons know what is near to them; texts that were embedded before are not again."""
        if surroundings.encoder is not self._embedded_by:
            self._embeddings, self._embedded_by = {}, surroundings.encoder
        self._embeddings = {text: self._embeddings[text] for text in recollection.texts if text in self._embeddings}
        new = [text for text in recollection.texts if text not in self._embeddings]
        if len(new) > _AT_ONCE:
            self._current = recollection.copy()
        if new:
            self._embeddings.update(zip(new, surroundings.encoder.embed(new), strict=True))
        recollection.look_around(surroundings, np.stack([self._embeddings[text] for text in recollection.texts]))

    # On the event loop that decides.

    async def answers(self, recollection: Recollection, texts: Sequence[str], *, near: bool) -> dict[int, Answer]:
        """Return the answers that people gave, by the texts' places; raises nothing but cancellation.

        Args:
            recollection: `current`, as it was when the batch began.
            texts: As they were said.
            near: Whether what only says the same, or belongs with what was taught, is spoken for, too.
        """
        if not len(recollection):
            return {}
        normal = [normalise(text) for text in texts]
        found = {text: match for text in normal if (match := recollection.same(text)) is not None}
        if near and recollection.knows_what_is_near:
            found |= await self._near(recollection, [text for text in dict.fromkeys(normal) if text not in found])
        return {row: _answer(found[text]) for row, text in enumerate(normal) if text in found}

    async def _near(self, recollection: Recollection, texts: list[str]) -> dict[str, Match]:
        """Return who is spoken for by a lesson about another text; nobody where that takes too long."""
        since = self._running_since
        if since is not None and time.monotonic() - since >= self._deadline_seconds:  # it hangs
            self._observer.nearness_skipped(len(texts))
            return {}
        try:
            async with asyncio.timeout(self._deadline_seconds):
                matches = await asyncio.wrap_future(self._thread.submit(self._find, recollection, texts))
        except TimeoutError:
            self._observer.nearness_skipped(len(texts))
            return {}
        except Exception as error:  # noqa: BLE001 - the guard of nearness: an utterance is answered whatever the encoder does
            self._observer.nearness_skipped(len(texts))
            _log.error("nearness_failed", texts=len(texts), fault=type(error).__name__)
            return {}
        return {text: match for text, match in zip(texts, matches, strict=True) if match is not None}

    def _find(self, recollection: Recollection, texts: list[str]) -> list[Match | None]:
        self._running_since = time.monotonic()
        try:
            return recollection.near(texts)
        finally:
            self._running_since = None


def _answer(match: Match) -> Answer:
    how = {
        "same": "people corrected this very text",
        "near": f"people corrected a text that says the same (cosine {match.cosine:.3f})",
        "taught": f"people taught this intent by texts like it (cosine {match.cosine:.3f})",
    }
    return Answer(
        intent=match.intent,
        confidence=match.confidence,
        tier=TIER,
        tried=(Attempt(tier=TIER, outcome=Outcome.ANSWERED, reason=how[match.how]),),
        lesson=match.revision,
    )
