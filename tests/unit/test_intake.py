"""What is answered is committed in order, together where it had to wait, and never beyond the limits."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from schemas.settings import Intake as IntakeSettings
from streams.batches import Batch, Outgoing, join
from streams.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Iterable

    from health.lag import PartitionLag

MAX_RECORDS = 10


class HeldExchange:
    """An exchange whose commits end when they are let go."""

    def __init__(self) -> None:
        self.committed: list[tuple[int, int, list[str]]] = []
        self.given_up: list[int] = []
        self.let_go = threading.Semaphore(0)

    def commit(self, batch: Batch, answers: Iterable[Outgoing]) -> bool:
        assert self.let_go.acquire(timeout=10)
        self.committed.append((batch.number, batch.count, [answer.topic for answer in answers]))
        return True

    def give_up(self, batch: Batch) -> None:
        self.given_up.append(batch.number)


class Stream:
    """An exchange from which batches of a size can be fetched, as many as are wanted."""

    def __init__(self, records: int) -> None:
        self._records = records
        self.fetched: list[Batch] = []

    def open(self) -> None: ...

    def fetch(self, _limit: int, _idle_seconds: float) -> Batch:
        self.fetched.append(batch(len(self.fetched), records=self._records))
        return self.fetched[-1]

    def lag(self) -> dict[tuple[str, int], PartitionLag]:
        return {}

    def commit(self, _batch: Batch, _answers: Iterable[Outgoing]) -> bool:
        return True


class Channel(asyncio.Queue[Batch]):
    """As Faust's, of one batch, with somebody who listens."""

    subscriber_count = 1


class Counted(list[str]):
    """An observer that remembers which guards caught something."""

    def lagging(self, lag: dict[tuple[str, int], PartitionLag]) -> None: ...

    def unexpected(self, guard: str) -> None:
        self.append(guard)


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def exchange() -> HeldExchange:
    return HeldExchange()


@pytest.fixture
async def intake(exchange: HeldExchange, counted: Counted) -> Intake:
    return new_intake(exchange, None, counted)


def new_intake(exchange: object, channel: object, counted: Counted) -> Intake:
    return Intake(
        exchange=cast("Any", exchange),
        channel=cast("Any", channel),
        settings=IntakeSettings(max_batch_records=MAX_RECORDS),
        prepare=lambda: None,
        observer=counted,
    )


def end(intake: Intake) -> None:
    assert intake._fetched is not None
    intake._fetched.cancel()


def batch(number: int, *, records: int = 2, epoch: int = 0) -> Batch:
    return Batch(epoch=epoch, number=number, records=cast("Any", [object()] * records), fetched_at=0.0)


async def answer(batch: Batch) -> list[Outgoing]:
    return [Outgoing(f"answer {batch.number}", None, None, 0)]


async def all_committed(exchange: HeldExchange, intake: Intake, transactions: int) -> None:
    for _ in range(transactions):
        exchange.let_go.release()
    async with asyncio.timeout(10):
        while intake._commit is not None:
            await asyncio.wait([intake._commit])


async def test_what_is_answered_during_a_transaction_is_committed_together_after_it(
    exchange: HeldExchange, intake: Intake
) -> None:
    for number in range(4):
        await intake.answer(batch(number), answer)
    await all_committed(exchange, intake, 2)
    assert exchange.committed == [(0, 1, ["answer 0"]), (1, 3, ["answer 1", "answer 2", "answer 3"])]


async def test_batches_of_two_epochs_are_never_committed_together(exchange: HeldExchange, intake: Intake) -> None:
    await intake.answer(batch(0), answer)
    await intake.answer(batch(1), answer)
    await intake.answer(batch(0, epoch=1), answer)
    await all_committed(exchange, intake, 3)
    assert [(number, count) for number, count, _ in exchange.committed] == [(0, 1), (1, 1), (0, 1)]


async def test_what_follows_a_batch_that_never_came_begins_a_transaction_of_its_own(
    exchange: HeldExchange, intake: Intake
) -> None:
    for number in (0, 1, 3, 4):
        await intake.answer(batch(number), answer)
    await all_committed(exchange, intake, 3)
    assert [(number, count) for number, count, _ in exchange.committed] == [(0, 1), (1, 1), (3, 2)]


async def test_no_transaction_grows_beyond_the_largest_batch(exchange: HeldExchange, intake: Intake) -> None:
    for number in range(3):
        await intake.answer(batch(number, records=4), answer)
    last = asyncio.create_task(intake.answer(batch(3, records=4), answer))
    await asyncio.sleep(0)  # the task begins
    await all_committed(exchange, intake, 3)
    await last
    assert [(number, count) for number, count, _ in exchange.committed] == [(0, 1), (1, 2), (3, 1)]


async def test_an_agent_is_held_back_while_a_largest_batch_waits_to_be_committed(
    exchange: HeldExchange, intake: Intake
) -> None:
    await intake.answer(batch(0), answer)
    held_back = asyncio.create_task(intake.answer(batch(1, records=MAX_RECORDS), answer))
    done, _ = await asyncio.wait([held_back], timeout=0.05)
    assert not done
    await all_committed(exchange, intake, 2)
    await asyncio.wait_for(held_back, 10)


async def test_a_batch_whose_answer_fails_is_given_up_and_counted_and_the_agent_lives(
    exchange: HeldExchange, intake: Intake, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_batch: Batch) -> list[Outgoing]:
        raise RuntimeError

    async def at_once(_seconds: float) -> None:
        return

    monkeypatch.setattr(intake, "sleep", at_once)
    await intake.answer(batch(7), fail)
    await asyncio.wrap_future(intake._committing.submit(lambda: None))
    assert (exchange.given_up, exchange.committed) == ([7], [])
    assert counted == ["answer"]


def test_joined_batches_hold_all_records_in_order_and_count_as_many_fetches() -> None:
    first, second, third = (batch(number, records=number + 1) for number in (4, 5, 6))
    joined = join([join([first, second]), third])
    assert (joined.number, joined.count, joined.epoch) == (4, 3, 0)
    assert joined.records == [*first.records, *second.records, *third.records]


@pytest.mark.parametrize(
    ("records", "fetched"), [(MAX_RECORDS - 1, 1), (MAX_RECORDS, 3)], ids=["not full", "full, and so more has come"]
)
async def test_while_the_agent_is_at_work_more_is_fetched_only_behind_full_batches(
    counted: Counted, records: int, fetched: int
) -> None:
    stream, channel = Stream(records), Channel(1)
    intake = new_intake(stream, channel, counted)
    await intake.on_start()
    at_work = await channel.get()
    await asyncio.sleep(0.1)
    assert len(stream.fetched) == fetched  # one at work, one in the channel, one before it
    await intake.answer(at_work, answer)
    assert (await asyncio.wait_for(channel.get(), 10)).number == 1
    end(intake)


async def test_an_agent_that_does_not_come_back_does_not_keep_the_intake_from_fetching(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.intake._AGENT_SECONDS", 0.01)
    stream, channel = Stream(1), Channel(1)
    intake = new_intake(stream, channel, counted)
    await intake.on_start()
    await channel.get()
    assert (await asyncio.wait_for(channel.get(), 10)).number == 1
    end(intake)
