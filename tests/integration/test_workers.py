"""Workers know of each other, and who waits for a change knows when all that live have applied it."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import msgspec
import pytest

from schemas.events import Presence
from tests.kit.brokers import running_broker
from tests.kit.workers import WorkersTopic, stranger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from infra.embedded.server import EmbeddedServer

FLIPS = 200


@pytest.fixture
def topic(kafka: EmbeddedServer) -> WorkersTopic:
    return WorkersTopic(kafka.endpoint)


async def eventually(happened: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait on the loop, so that what is waited for can run on it."""
    due = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < due, f"within {seconds:g} s it never happened that {what}"
        await asyncio.sleep(0.005)


def old(seconds: float) -> int:
    return int((time.time() - seconds) * 1000)


async def test_a_change_is_in_force_once_every_worker_says_so(topic: WorkersTopic) -> None:
    async with topic.colleague("a") as a, topic.colleague("b") as b, topic.colleague("c") as c:
        await eventually(lambda: a.knows() == {"a", "b", "c"}, "all are known")
        waiting = asyncio.create_task(a.workers.wait_applied(7, 60.0))
        for worker in (a, b):
            worker.apply(7)
        await eventually(lambda: a.workers.live()["b"].flags_revision == 7, "b is known to have applied it")
        assert not waiting.done()
        c.apply(8)
        applied = await waiting
        assert (applied.workers, applied.missing) == (3, ())


async def test_the_deadline_says_who_is_missing(topic: WorkersTopic) -> None:
    async with topic.colleague("a") as a, topic.colleague("b") as b:
        await eventually(lambda: a.knows() == {"a", "b"}, "both are known")
        b.apply(7)
        await eventually(lambda: a.workers.live()["b"].flags_revision == 7, "b is known to have applied it")
        applied = await a.workers.wait_applied(7, 0.3)
        assert (applied.workers, applied.missing) == (1, ("a",))


async def test_who_stopped_is_not_waited_for(topic: WorkersTopic) -> None:
    async with topic.colleague("a") as a:
        async with topic.colleague("b"):
            await eventually(lambda: a.knows() == {"a", "b"}, "both are known")
            a.apply(7)
            waiting = asyncio.create_task(a.workers.wait_applied(7, 60.0))
            await eventually(lambda: a.workers.live()["a"].flags_revision == 7, "a has applied it")
            assert not waiting.done()
        assert (await waiting).workers == 1
    assert [record.value for record in topic.records() if record.key == b"b"][-1] is None


async def test_who_died_without_a_word_is_waited_for_until_it_counts_as_dead(topic: WorkersTopic) -> None:
    async with topic.colleague("a", every_seconds=0.2) as a:
        topic.write_by_hand("b", stranger("b", revision=6, expires_seconds=2.0))
        await eventually(lambda: a.knows() == {"a", "b"}, "both are known")
        a.apply(7)
        applied = await a.workers.wait_applied(7, 60.0)
        assert (applied.workers, applied.missing, a.knows()) == (1, (), {"a"})


async def test_who_comes_meanwhile_is_waited_for(topic: WorkersTopic) -> None:
    async with topic.colleague("a") as a:
        await eventually(lambda: a.knows() == {"a"}, "it knows itself")
        waiting = asyncio.create_task(a.workers.wait_applied(7, 60.0))
        async with topic.colleague("b") as b:
            await eventually(lambda: a.knows() == {"a", "b"}, "both are known")
            a.apply(7)
            await eventually(lambda: a.workers.live()["a"].flags_revision == 7, "a has applied it")
            assert not waiting.done()
            b.apply(7)
            assert (await waiting).workers == 2


async def test_who_has_not_said_a_word_itself_waits_for_itself(topic: WorkersTopic) -> None:
    topic.write_by_hand("a", stranger("a", revision=9, expires_seconds=60.0))  # an earlier life
    async with topic.colleague("b") as b:
        b.apply(9)
        await eventually(lambda: b.knows() == {"a", "b"}, "both are known")
        assert (await b.workers.wait_applied(9, 60.0)).workers == 2
    async with topic.colleague("a") as a:
        assert (await a.workers.wait_applied(9, 0.5)).missing == ("a",)


async def test_a_clock_that_is_behind_makes_nobody_dead(topic: WorkersTopic) -> None:
    topic.write_by_hand("b", stranger("b", revision=1, expires_seconds=6.0), timestamp_ms=old(60))
    async with topic.colleague("a") as a:
        a.apply(7)
        waiting = asyncio.create_task(a.workers.wait_applied(7, 60.0))
        await eventually(lambda: a.knows() == {"a"}, "it knows itself")
        topic.write_by_hand("b", stranger("b", revision=1, expires_seconds=600.0), timestamp_ms=old(60))
        await eventually(lambda: a.knows() == {"a", "b"}, "it hears of the other")
        assert not waiting.done()
        topic.write_by_hand("b", stranger("b", revision=7, expires_seconds=600.0), timestamp_ms=old(60))
        assert (await waiting).workers == 2


async def test_the_dead_that_stood_there_before_do_not_count(topic: WorkersTopic) -> None:
    topic.write_by_hand("long gone", stranger("long gone", revision=1, expires_seconds=6.0), timestamp_ms=old(60))
    topic.write_by_hand("here", stranger("here", revision=1, expires_seconds=600.0), timestamp_ms=old(60))
    async with topic.colleague("a") as a:
        await eventually(lambda: "a" in a.knows(), "it knows itself")
        assert a.knows() == {"a", "here"}


async def test_what_is_no_presence_is_counted_and_changes_nothing(topic: WorkersTopic) -> None:
    async with topic.colleague("a") as a:
        await eventually(lambda: a.knows() == {"a"}, "it knows itself")
        for value in (b"\xff no json", b'{"worker_id": 3}', b"[" * 50_000):
            topic.write_by_hand("b", value)
        await eventually(lambda: a.counts.refused == 3, "they are counted")
        assert a.knows() == {"a"}


async def test_a_burst_of_changes_is_a_few_records_and_the_last_arrives(topic: WorkersTopic) -> None:
    async with topic.colleague("a", every_seconds=60.0) as a:
        await eventually(lambda: a.knows() == {"a"}, "it knows itself")
        for revision in range(1, 5_001):
            a.apply(revision)
        await eventually(lambda: a.workers.live()["a"].flags_revision == 5_000, "the last is known", seconds=10)
        values = [record.value for record in topic.records()]
        assert 2 <= len(values) < 500
        last = msgspec.json.decode(values[-1] or b"", type=Presence)
        assert last.flags_revision == 5_000


async def test_a_broker_that_goes_and_comes_back_kills_nobody(tmp_path: Path) -> None:
    with running_broker(tmp_path / "broker") as broker:
        topic = WorkersTopic(broker.endpoint)
        async with topic.colleague("a", every_seconds=2.0) as a, topic.colleague("b", every_seconds=2.0) as b:
            await eventually(lambda: a.knows() == b.knows() == {"a", "b"}, "both know both")
            await asyncio.to_thread(broker.stop)
            gone_at = time.monotonic()
            await eventually(lambda: time.monotonic() - gone_at > 6.5, "it was away for longer than an expiry")
            assert a.knows() == b.knows() == {"a", "b"}
            a.apply(7)
            await asyncio.to_thread(broker.start)
            waiting = asyncio.create_task(a.workers.wait_applied(7, 60.0))
            b.apply(7)
            assert (await waiting).workers == 2


async def test_who_stops_while_the_broker_is_away_does_not_wait_for_it(tmp_path: Path) -> None:
    with running_broker(tmp_path / "broker") as broker:
        topic = WorkersTopic(broker.endpoint)
        async with topic.colleague("a", every_seconds=0.3) as a:
            await eventually(lambda: a.knows() == {"a"}, "it knows itself")
            await asyncio.to_thread(broker.stop)
            begun = time.monotonic()
        assert time.monotonic() - begun < 20


async def test_a_beat_is_answered_with_when_it_was_sent(topic: WorkersTopic) -> None:
    async with topic.colleague("a", every_seconds=60.0) as a:
        await eventually(lambda: bool(a.acknowledged), "it was heard once")
        asked_at = time.monotonic()
        sent_at = await asyncio.wrap_future(a.publisher.beat())
        assert asked_at <= sent_at <= time.monotonic()
        assert a.acknowledged[-1] == sent_at


async def test_every_announced_revision_is_known_to_all(topic: WorkersTopic) -> None:
    async with AsyncExitStack() as stack:
        those = [await stack.enter_async_context(topic.colleague(f"worker-{number}")) for number in range(4)]
        await eventually(lambda: all(len(worker.knows()) == 4 for worker in those), "all know all")
        seconds = []
        for revision in range(1, FLIPS + 1):
            begun = time.perf_counter()
            for worker in those:
                worker.apply(revision)
            assert (await those[0].workers.wait_applied(revision, 20.0)).workers == 4
            seconds.append(time.perf_counter() - begun)
        centiles = statistics.quantiles(seconds, n=100)
        sys.stdout.write(
            f"\nfrom 4 announcements to all of them known, over {FLIPS} flips: median {centiles[49] * 1000:.1f} ms, "
            f"p99 {centiles[98] * 1000:.1f} ms, max {max(seconds) * 1000:.1f} ms\n"
        )
