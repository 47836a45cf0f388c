"""Decisions wait where others may have taken us for dead, and no longer than answers can wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streams.fleet.lease import Lease, LeasedDecider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.cloudevents import Received
    from streams.results import Decision


class Broker:
    """What a lease asks for, on a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.lapses: list[bool] = []
        self.away = self.known_away = False
        self.lease = Lease(
            expires_seconds=6.0,
            beat=self.beat,
            catch_up=self.catch_up,
            broker_away=lambda: self.known_away,
            observer=self,
            clock=lambda: self.now,
        )

    async def beat(self) -> float:
        self.asked.append("beat")
        if self.away:
            await asyncio.Event().wait()
        return self.now

    async def catch_up(self) -> None:
        self.asked.append("catch up")

    def lease_lapsed(self, *, renewed: bool) -> None:
        self.lapses.append(renewed)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    monkeypatch.setattr("streams.fleet.lease._PATIENCE_SECONDS", 0.01)
    return Broker()


async def test_the_first_decision_waits_for_a_presence_and_then_for_the_flags(broker: Broker) -> None:
    await broker.lease.hold()
    assert broker.asked == ["beat", "catch up"]
    await broker.lease.hold()
    assert broker.asked == ["beat", "catch up"]


async def test_presences_in_time_keep_the_lease(broker: Broker) -> None:
    await broker.lease.hold()
    for now in (4.0, 8.0, 12.0):
        broker.now = now
        broker.lease.acknowledged(sent_at=now)
    broker.now = 16.9
    await broker.lease.hold()
    assert broker.lapses == [True]


async def test_who_slept_through_its_expiry_reads_the_flags_before_it_decides(broker: Broker) -> None:
    await broker.lease.hold()
    broker.now = 60.0
    await broker.lease.hold()
    assert broker.asked == ["beat", "catch up"] * 2


async def test_a_presence_that_was_acknowledged_too_late_does_not_stand_for_the_flags(broker: Broker) -> None:
    await broker.lease.hold()
    broker.now = 60.0
    broker.lease.acknowledged(sent_at=4.0)
    broker.lease.acknowledged(sent_at=60.0)
    await broker.lease.hold()
    assert broker.lapses == [True, True]


async def test_the_lease_ends_before_others_give_us_up(broker: Broker) -> None:
    await broker.lease.hold()
    broker.now = 5.5
    await broker.lease.hold()
    assert broker.lapses == [True, True]


async def test_all_that_wait_share_one_renewal(broker: Broker) -> None:
    await asyncio.gather(*(broker.lease.hold() for _ in range(10)))
    assert broker.asked == ["beat", "catch up"]


async def test_with_the_broker_away_decisions_are_made_all_the_same(broker: Broker) -> None:
    broker.away = True
    await broker.lease.hold()
    await broker.lease.hold()
    assert (broker.asked, broker.lapses) == (["beat"], [False])


async def test_a_broker_that_is_known_to_be_away_is_not_waited_for(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.fleet.lease._PATIENCE_SECONDS", 1_000.0)
    broker.away = broker.known_away = True
    await broker.lease.hold()
    assert broker.lapses == [False]


async def test_once_the_broker_is_back_the_flags_are_read_before_the_next_decision(broker: Broker) -> None:
    broker.away = True
    await broker.lease.hold()
    broker.away = False
    broker.lease.acknowledged(sent_at=0.5)
    await broker.lease.hold()
    assert broker.lapses == [False, True]


async def test_who_gives_up_waiting_leaves_the_renewal_to_the_others(broker: Broker) -> None:
    hasty = asyncio.create_task(broker.lease.hold())
    patient = asyncio.create_task(broker.lease.hold())
    await asyncio.sleep(0)
    hasty.cancel()
    await patient
    assert broker.lapses == [True]


async def test_a_decider_decides_only_under_the_lease(broker: Broker) -> None:
    class Decider:
        async def decide(self, utterances: Sequence[Received]) -> Sequence[Decision]:
            broker.asked.append(f"decide {len(utterances)}")
            return []

    await LeasedDecider(Decider(), broker.lease).decide([])
    assert broker.asked == ["beat", "catch up", "decide 0"]
