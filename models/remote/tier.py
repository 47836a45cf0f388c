"""A tier that a server answers for. Whatever the server does becomes an answer or a reason; it may come and go."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import structlog

from models.distilbert import LEAST_CORRELATION, least_correlation
from models.encoder import GOLDEN_SENTENCES
from models.prediction import TierFailedError, TierUnavailableError
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from models.prediction import Probabilities
    from models.remote.release import Known, ServedRelease
    from models.remote.served import Logits, ModelServer, ServedModel

_log = structlog.get_logger(__name__)


class _Bound(NamedTuple):
    """A served model that fits the catalogue."""

    model: ServedModel
    known: Known


class RemoteTier:
    """Asks the server what it serves before it trusts an answer, and again after every failure."""

    def __init__(
        self,
        name: str,
        server: ModelServer,
        release: ServedRelease,
        *,
        source: str,
        max_batch: int,
        connections: int,
        recheck_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nothing of the server yet.

        Args:
            name: What results and metrics call the tier.
            server: Who answers.
            release: What is known of it on this machine.
            source: Which model of which server, for what must not mix its answers with another's.
            max_batch: Texts in one request.
            connections: Requests at once.
            recheck_seconds: How long a server whose model does not fit is left alone.
            clock: Monotonic seconds.
        """
        self._name = name
        self._server = server
        self._release = release
        self._source = source
        self._max_batch = max_batch
        self._turns = asyncio.Semaphore(connections)
        self._recheck_seconds = recheck_seconds
        self._clock = clock
        self._binding = asyncio.Lock()
        self._bound: _Bound | None = None
        self._missing = "its server has not been asked yet"
        self._refused_until: float | None = None

    @property
    def name(self) -> str:
        """What results and metrics call it."""
        return self._name

    @property
    def ready(self) -> bool:
        """Whether the server, when it was last asked, could answer for the catalogue."""
        return self._bound is not None

    @property
    def missing(self) -> str | None:
        """Why it could not, for a person; None where it could."""
        return None if self.ready else self._missing

    @property
    def identity(self) -> str:
        """Return what its answers depend on: the server, its model and, once it is known, the version."""
        version = self._bound.model.version if self._bound else None
        return f"{self._source} {version or ''}"

    async def classify(self, texts: Sequence[str]) -> Probabilities:
        """Return one row a normalised text.

        Raises:
            TierUnavailableError: What the server serves does not fit the catalogue.
            TierFailedError: The server did not answer, or not as it should.
        """
        bound = self._bound or await self._bind_once()
        try:
            logits = await self._logits(bound.model, texts)
        except TierFailedError as error:
            # Who comes back may serve something else.
            self._note(None, str(error))
            raise
        return await asyncio.to_thread(bound.known.verdict.probabilities, logits, texts)

    async def probe(self) -> str | None:
        """Ask the server what it serves; return the version, if it tells.

        Raises:
            UnavailableError: It did not answer, or serves what does not fit; the message says which.
        """
        async with self._binding:
            return (await self._bind()).model.version

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    async def _logits(self, model: ServedModel, texts: Sequence[str]) -> Logits:
        """Ask in parts, several at once; texts of like length go together, so that little of a part is padding."""
        by_length = np.argsort([len(text) for text in texts], kind="stable")
        parts = [by_length[start : start + self._max_batch] for start in range(0, len(texts), self._max_batch)]
        try:
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(self._part(model, texts, rows)) for rows in parts]
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None
        answered = np.concatenate([task.result() for task in asked])
        ordered = np.empty_like(answered)
        ordered[by_length] = answered
        return ordered

    async def _part(self, model: ServedModel, texts: Sequence[str], rows: npt.NDArray[np.intp]) -> Logits:
        async with self._turns:
            return await model.logits([texts[row] for row in rows])

    async def _bind_once(self) -> _Bound:
        """Bind, unless another call is about to, or just found out that it cannot be done."""
        if self._refused_until is not None and self._clock() < self._refused_until:
            raise TierUnavailableError(self._missing)
        async with self._binding:
            return self._bound or await self._bind()

    async def _bind(self) -> _Bound:
        """Ask the server what it serves, and hold that against the catalogue and the release."""
        try:
            model = await self._server.model()
            bound = _Bound(model, await asyncio.to_thread(self._release.known, model.labels, model.release))
            if self._bound is None or self._bound.known is not bound.known:
                await self._put_to_the_test(bound)
        except UnavailableError as error:
            self._note(None, str(error))
            if isinstance(error, TierUnavailableError):
                self._refused_until = self._clock() + self._recheck_seconds
            raise
        self._note(bound, "")
        return bound

    async def _put_to_the_test(self, bound: _Bound) -> None:
        """Hold the server's logits against the golden ones, which another tokenizer or bad int8 would not give."""
        golden = bound.known.golden
        if golden is None:
            return
        logits = await self._logits(bound.model, GOLDEN_SENTENCES)
        if logits.shape != golden.shape or least_correlation(logits, golden) < LEAST_CORRELATION:
            raise TierUnavailableError("its server's answers are not those of its release on this machine")

    def _note(self, bound: _Bound | None, missing: str) -> None:
        """Keep what is known of the server, and log it where it is news."""
        if bound is not None and self._bound is None:
            _log.info("remote_model_ready", tier=self._name, version=bound.model.version)
        elif bound is None and missing != self._missing:
            _log.warning("remote_model_not_there", tier=self._name, reason=missing)
        self._bound, self._missing, self._refused_until = bound, missing, None
