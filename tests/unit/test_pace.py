"""How large batches are made: by how long they take, and by what of that is theirs and what their records'."""

from __future__ import annotations

from random import Random

import pytest

from streams.pace import Pace


def settle(pace: Pace, *, own: float, each: float, noise: float = 0.0, batches: int = 200) -> tuple[float, float]:
    """Answer batches as large as allowed; return records a second, and a batch's mean seconds, of the later half."""
    chance, records, seconds = Random(1), 0, 0.0  # noqa: S311 - no secret
    for number in range(batches):
        size = pace.limit
        took = (own + each * size) * (1 + noise * (chance.random() - 0.5))
        pace.observe(size, took)
        if number >= batches // 2:
            records, seconds = records + size, seconds + took
    return records / seconds, seconds / (batches - batches // 2)


@pytest.mark.parametrize("each", [1 / 60_000, 1 / 8_000, 1 / 300])
def test_batches_take_about_as_long_as_asked(each: float) -> None:
    _, seconds = settle(Pace(target_seconds=0.1, max_records=10_000), own=0.01, each=each)
    assert seconds == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_where_a_batch_by_itself_costs_more_than_was_asked_for_all_of_it_half_of_the_speed_is_kept(
    noise: float,
) -> None:
    rate, _ = settle(Pace(target_seconds=0.1, max_records=10_000), own=0.2, each=1 / 8_000, noise=noise)
    assert rate > 0.4 * 8_000


def test_a_worker_that_was_held_up_for_a_while_is_soon_as_fast_as_before() -> None:
    pace = Pace(target_seconds=0.1, max_records=10_000)
    before, _ = settle(pace, own=0.005, each=1 / 8_000)
    settle(pace, own=1.0, each=1 / 800, batches=20)
    after, _ = settle(pace, own=0.005, each=1 / 8_000, batches=40)
    assert after > 0.9 * before


def test_a_record_that_takes_longer_than_a_batch_may_is_a_batch() -> None:
    pace = Pace(target_seconds=0.1, max_records=10_000)
    settle(pace, own=0.0, each=1.0)
    assert pace.limit == 1


def test_no_batch_is_larger_than_a_transaction_may_be() -> None:
    pace = Pace(target_seconds=0.1, max_records=500)
    assert settle(pace, own=0.0, each=1e-6)
    assert pace.limit == 500


def test_the_size_grows_step_by_step_for_few_records_say_little_of_many() -> None:
    pace = Pace(target_seconds=0.1, max_records=10_000)
    pace.observe(64, 0.0)
    assert pace.limit == 4 * 64


def test_batches_that_were_not_full_say_what_full_ones_will_take() -> None:
    chance = Random(2)  # noqa: S311 - no secret
    pace = Pace(target_seconds=0.1, max_records=10_000)
    for _ in range(100):
        records = chance.randint(5, 30)
        pace.observe(records, 0.01 + records / 8_000)
    assert pace.limit == pytest.approx(0.09 * 8_000, rel=0.3)
