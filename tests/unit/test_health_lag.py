"""How far behind a partition is, in messages and in seconds."""

from __future__ import annotations

import pytest

from health.lag import PartitionLag, Progress

PLACE = ("utterances", 3)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress(clock)


def lag(progress: Progress, position: int, end: int) -> PartitionLag:
    return progress.lag({PLACE: (position, end)})[PLACE]


def test_what_was_fetched_and_not_committed_is_behind(progress: Progress) -> None:
    progress.committed(PLACE, 40, timestamp_ms=999_500)
    progress.fetched(PLACE, 100)
    assert lag(progress, 100, 100) == PartitionLag(messages=60, seconds=0.0, committed=40)


def test_before_anything_was_committed_here_a_partition_is_where_it_began(progress: Progress, clock: Clock) -> None:
    assert lag(progress, 10, 30) == PartitionLag(messages=20, seconds=0.0, committed=10)
    clock.now += 5
    assert lag(progress, 10, 30).seconds == 5


def test_a_backlog_is_as_old_as_what_was_answered_last(progress: Progress, clock: Clock) -> None:
    lag(progress, 0, 1_000)
    clock.now += 1
    progress.committed(PLACE, 500, timestamp_ms=int((clock.now - 0.25) * 1_000))
    assert lag(progress, 500, 1_000) == PartitionLag(messages=500, seconds=0.25, committed=500)


def test_what_came_after_a_pause_has_not_waited_since_before_it(progress: Progress, clock: Clock) -> None:
    progress.committed(PLACE, 7, timestamp_ms=1_000_000)
    clock.now += 3_600
    assert lag(progress, 7, 7) == PartitionLag(messages=0, seconds=0.0, committed=7)
    clock.now += 2
    progress.fetched(PLACE, 8)
    assert lag(progress, 8, 8) == PartitionLag(messages=1, seconds=2.0, committed=7)


def test_a_partition_that_others_had_meanwhile_begins_anew(progress: Progress, clock: Clock) -> None:
    progress.committed(PLACE, 7, timestamp_ms=1_000_000)
    progress.forget([PLACE])
    clock.now += 60
    assert lag(progress, 50, 60) == PartitionLag(messages=10, seconds=0.0, committed=50)


def test_an_end_that_is_not_known_to_have_moved_yet_is_no_debt(progress: Progress) -> None:
    progress.committed(PLACE, 12, timestamp_ms=1_000_000)
    assert lag(progress, 12, 10) == PartitionLag(messages=0, seconds=0.0, committed=12)


def test_where_only_the_end_of_a_transaction_stands_behind_the_last_record_nothing_waits(
    progress: Progress, clock: Clock
) -> None:
    progress.fetched(PLACE, 7)
    progress.committed(PLACE, 7, timestamp_ms=1_000_000)
    clock.now += 3_600
    assert lag(progress, 8, 8) == PartitionLag(messages=0, seconds=0.0, committed=7)


def test_what_was_fetched_is_behind_until_all_of_it_is_answered_however_far_the_consumer_is(
    progress: Progress, clock: Clock
) -> None:
    progress.committed(PLACE, 7, timestamp_ms=1_000_000)
    progress.fetched(PLACE, 10)
    assert lag(progress, 11, 11) == PartitionLag(messages=4, seconds=0.0, committed=7)
    clock.now += 2
    assert lag(progress, 11, 11).seconds == 2
    progress.committed(PLACE, 10, timestamp_ms=1_002_000)
    assert lag(progress, 11, 11) == PartitionLag(messages=0, seconds=0.0, committed=10)
