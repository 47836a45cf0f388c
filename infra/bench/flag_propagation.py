"""How long a flag change takes from the HTTP request until it is applied in every process, while workers classify.

The clock of a flip runs from before the request is sent until the last process has swapped its snapshot; the next flip
begins after that, and after a pause of chance, so that flips do not fall into step with the workers' batches.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from infra.bench.flag_fleet import Process, WorkerProcess, flag_fleet
from schemas.errors import UnavailableError
from streams.clients import admin_client
from streams.topics import apply_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.settings import Settings

_PATH = "/api/v1/feature-flags/bench_flip"
_WARM_UP = 30
_WARM_UP_SECONDS = 45.0
"""So long, a broker that was just started compiles its code, on 40 % of a core; no broker that is in use does."""
_APPLIED_SECONDS = 30.0
_PAUSE_SECONDS = 0.02


class Flip(NamedTuple):
    """One change, in seconds."""

    answered: float
    """Until the HTTP request was answered."""
    applied: float
    """Until the last process had applied it."""


class Propagation(NamedTuple):
    """What was measured."""

    flips: list[Flip]
    classified_per_second: float
    """By all workers together, while the flips were made."""


def measure_propagation(
    settings: Settings, *, flips: int, workers: int, followers: int, say: Callable[[str], None]
) -> Propagation:
    """Flip a flag again and again while the workers classify as fast as they can.

    Args:
        settings: Where the broker is; what is written there, nobody else must mind.
        flips: Changes that are timed.
        workers: That classify.
        followers: Processes that follow, the workers included.
        say: Told what is being done.

    Raises:
        UnavailableError: A process could not be run, or a change was refused or not applied.
    """
    apply_topics(admin_client(settings), settings.topics)
    with tempfile.TemporaryDirectory() as folder:
        say(f"starting {workers} workers and {followers - workers} more processes that follow")
        with (
            flag_fleet(settings, Path(folder), workers=workers, followers=followers - workers) as (classifying, others),
            Process("backlog", [sys.executable, "-m", "infra.bench.backlog"], _broker(settings)).running(),
        ):
            say(f"{flips} flips")
            return _measure(classifying, [*classifying, *others], flips)


def _broker(settings: Settings) -> dict[str, str]:
    return {"INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka_servers}


def _measure(workers: Sequence[WorkerProcess], following: Sequence[Process], flips: int) -> Propagation:
    connection = HTTPConnection("127.0.0.1", workers[0].port, timeout=_APPLIED_SECONDS)
    warm_at = time.monotonic() + _WARM_UP_SECONDS
    number = 0
    while number < _WARM_UP or time.monotonic() < warm_at:
        _flip(connection, following, number)
        number += 1
    before, begun = _classified(workers), time.monotonic()
    timed = [_flip(connection, following, number + each) for each in range(flips)]
    per_second = (_classified(workers) - before) / (time.monotonic() - begun)
    connection.close()
    return Propagation(timed, per_second)


def _flip(connection: HTTPConnection, following: Sequence[Process], number: int) -> Flip:
    time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 - no secret
    body = msgspec.json.encode({"enabled": number % 2 == 0, "changed_by": "bench", "reason": "bench flags"})
    begun = time.time()
    connection.request("PUT", _PATH, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    answered = time.time()
    if answer.status not in {200, 201}:
        raise UnavailableError(f"The change was answered {answer.status}: {said[:500]!r}")
    revision = msgspec.json.decode(said)["revision"]
    applied = max(process.applied_at(revision, _APPLIED_SECONDS) for process in following)
    return Flip(answered - begun, applied - begun)


def _classified(workers: Sequence[WorkerProcess]) -> float:
    return sum(worker.classified() for worker in workers)
