"""Asks every worker's probes all the while, and holds what they said to what was so."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from infra.chaos.worker import MortalWorker

HEALTH, LIVE, READY = "/health", "/health/live", "/health/ready"

PROMISED_SECONDS = 10.0
"""So long after the broker went, every worker's readiness says so."""

_EVERY_SECONDS = 0.25
_ANSWER_SECONDS = 2.0


class Away(NamedTuple):
    """A time in which no worker could have reached the broker, in seconds of the monotonic clock."""

    begun: float
    ended: float


class Said(NamedTuple):
    """What a probe answered; when it was asked and when the answer was there, likewise."""

    path: str
    status: int
    asked_at: float
    answered_at: float


class Witness:
    """Asks on a thread for each worker. Use as a context manager.

    Args:
        workers: Whom.

    Attributes:
        said: What each answered, by worker; a probe that was not answered is not among it.
    """

    def __init__(self, workers: Sequence[MortalWorker]) -> None:
        self.said: defaultdict[str, list[Said]] = defaultdict(list)
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(worker,), name="chaos-witness", daemon=True)
            for worker in workers
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> int:
        """Return how many probes were answered."""
        return sum(map(len, self.said.values()))

    def lies(self, outages: Sequence[Away]) -> list[tuple[str, Said]]:
        """Return what was not true, and who said it.

        That a worker is not alive, by whomever it is said; and that it is ready, while the broker had been away for
        longer than `PROMISED_SECONDS` when it was asked, and still was when it answered.
        """
        return [(worker, said) for worker, answers in self.said.items() for said in answers if _is_lie(said, outages)]

    def _watch(self, worker: MortalWorker) -> None:
        answers = self.said[worker.worker_id]
        while not self._ending.wait(_EVERY_SECONDS):
            for path in (LIVE, READY):
                asked_at = time.monotonic()
                status = worker.status(path, seconds=_ANSWER_SECONDS)
                if status:
                    answers.append(Said(path, status, asked_at, time.monotonic()))


def _is_lie(said: Said, outages: Sequence[Away]) -> bool:
    if said.path == LIVE:
        return said.status != HTTPStatus.OK
    return said.status == HTTPStatus.OK and any(
        said.asked_at > outage.begun + PROMISED_SECONDS and said.answered_at < outage.ended for outage in outages
    )
