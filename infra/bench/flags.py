"""How long a flag change takes until it is applied in every process, and what asking for a flag costs.

The followers are processes of their own, as workers are. The clock of a flip runs from before the change is handed to
the writer until the last follower has swapped its snapshot; the next flip begins after that.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import NewTopic

from flags.clients import reader_config, writer_config
from flags.edits import Edit
from flags.evaluation import Snapshot
from flags.writer import Writer
from infra.bench.report import Report, new_report
from infra.embedded.kafka import KafkaProgram
from infra.embedded.ports import free_port
from infra.embedded.server import EmbeddedServer
from schemas.errors import UnavailableError
from schemas.events import FlagChange
from streams.clients import admin_client, client_config
from streams.results import timestamp
from streams.topics import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from schemas.settings import Settings

_FLAG = "quality_mode"
_WARM_UP = 20
_ASKED = 10_000
_LOOPS = 101


def bench_flags(settings: Settings, *, flips: int, followers: int, say: Callable[[str], None]) -> Report:
    """Measure propagation and evaluation.

    Args:
        settings: Whose broker is used if one is named; else an embedded one is started in a folder of its own.
        flips: Changes that are timed.
        followers: Processes that follow.
        say: Told what is being done.

    Raises:
        UnavailableError: The broker or a follower could not be run.
    """
    begun = time.time()
    with _broker(settings, say) as there:
        seconds = _propagation(there, flips, followers, say)
    centiles = statistics.quantiles(seconds, n=100, method="inclusive")
    return new_report(
        "bench flags",
        begun=begun,
        settings={"flips": flips, "followers": followers},
        measures={
            "propagation_p50_ms": [centiles[49] * 1_000],
            "propagation_p99_ms": [centiles[98] * 1_000],
            "propagation_max_ms": [max(seconds) * 1_000],
            "evaluation_p50_us": [_evaluation_seconds() * 1_000_000],
        },
        ratios={},
        notes=[
            "Propagation: from the call of the writer until the last follower's snapshot was swapped.",
            f"Evaluation: a boolean flag at 25 % of the users; the median of {_LOOPS} runs of {_ASKED:,}.",
        ],
    )


@contextmanager
def _broker(settings: Settings, say: Callable[[str], None]) -> Iterator[Settings]:
    if settings.kafka.bootstrap_servers:
        yield settings
        return
    with tempfile.TemporaryDirectory() as folder:
        program = KafkaProgram(jars=settings.state_folder / "jars")
        server = EmbeddedServer(program, folder=Path(folder), port=free_port())
        try:
            server.start(say)
            kafka = settings.kafka.model_copy(update={"bootstrap_servers": server.endpoint})
            yield settings.model_copy(update={"kafka": kafka})
        finally:
            server.stop()


def _propagation(settings: Settings, flips: int, followers: int, say: Callable[[str], None]) -> list[float]:
    """Return each flip's seconds."""
    run = f"bench.flags.{uuid.uuid4().hex[:8]}"
    topics = [NewTopic(name, 1, settings.topics.replication_factor) for name in (run, f"{run}.audit")]
    admin = admin_client(settings)
    for made in admin.create_topics(topics).values():
        made.result(30)
    client = client_config(settings)
    writer = Writer(
        new_producer=lambda: Producer(writer_config(client, run)),
        new_consumer=lambda: Consumer(reader_config(client)),
        topic=run,
        audit_topic=f"{run}.audit",
        dead_letter_topic=DEAD_LETTERS,
        worker_id="bench",
    )
    with ExitStack() as stack:
        stack.callback(writer.close)
        following = [stack.enter_context(_follower(settings, run, _WARM_UP + flips)) for _ in range(followers)]
        for each in following:
            _applied_at(each, 0)
        say(f"{followers} processes follow; {flips} flips")
        return [_flip(writer, number, following) for number in range(_WARM_UP + flips)][_WARM_UP:]


def _flip(writer: Writer, number: int, following: Sequence[subprocess.Popen[str]]) -> float:
    begun = time.monotonic()
    edit = Edit(name=_FLAG, fields={"enabled": number % 2 == 0}, changed_by="bench", reason="bench flags")
    revision = writer.write(edit).revision
    return max(_applied_at(each, revision) for each in following) - begun


@contextmanager
def _follower(settings: Settings, topic: str, last: int) -> Iterator[subprocess.Popen[str]]:
    environment = {"INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka_servers}
    command = [sys.executable, "-m", "infra.bench.flag_follower", topic, str(last)]
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _applied_at(follower: subprocess.Popen[str], revision: int) -> float:
    """Return when a follower applied a revision, on the monotonic clock."""
    for line in follower.stdout or ():
        applied, at = line.split()
        if int(applied) >= revision:
            return float(at)
    raise UnavailableError("A follower ended before the benchmark did.")


def _evaluation_seconds() -> float:
    """Return the median of one question, the loop around it taken off."""
    quarter = FlagChange(
        name=_FLAG, enabled=True, rollout_percentage=25.0, revision=1, changed_by="bench", changed_at=timestamp(0)
    )
    enabled = Snapshot(changes={_FLAG: quarter}).enabled
    asked = timeit.repeat(lambda: enabled(_FLAG, "user-7231"), number=_ASKED, repeat=_LOOPS)
    empty = timeit.repeat(lambda: None, number=_ASKED, repeat=_LOOPS)
    return (statistics.median(asked) - statistics.median(empty)) / _ASKED
