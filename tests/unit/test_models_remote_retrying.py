"""A request is sent again only while there is time, after pauses that scatter those who failed together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from models.prediction import TierFailedError
from models.remote.retrying import TransientError, retried
from tests.kit.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Callable


class Sender:
    """Fails so often, then answers; remembers when it was asked."""

    def __init__(self, *errors: TierFailedError, seconds_each: float = 0.0) -> None:
        self._errors = list(errors)
        self._seconds_each = seconds_each
        self.asked_at: list[float] = []

    async def send(self) -> str:
        self.asked_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._seconds_each)
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


def run(sender: Sender, *, retries: int, seconds: float, jitter: Callable[[float, float], float]) -> tuple[str, float]:
    """Return the answer, or the last error's message, and when it was there."""

    async def ask() -> tuple[str, float]:
        try:
            answer = await retried(sender.send, retries=retries, seconds=seconds, jitter=jitter)
        except TierFailedError as error:
            answer = str(error)
        return answer, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(ask())


def longest(_: float, ceiling: float) -> float:
    return ceiling


def shortest(floor: float, _: float) -> float:
    return floor


def test_pauses_may_double_up_to_a_second() -> None:
    sender = Sender(*(TransientError("refused") for _ in range(7)))
    answer, _ = run(sender, retries=7, seconds=60, jitter=longest)
    pauses = [later - earlier for earlier, later in zip(sender.asked_at, sender.asked_at[1:], strict=False)]
    assert answer == "answer"
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_with_luck_there_is_no_pause() -> None:
    assert run(Sender(TransientError("refused")), retries=1, seconds=60, jitter=shortest) == ("answer", 0.0)


def test_a_pause_the_server_asks_for_is_made() -> None:
    sender = Sender(TransientError("refused", pause_seconds=3.0))
    assert run(sender, retries=1, seconds=60, jitter=longest) == ("answer", 3.0)


def test_so_many_times_and_no_more() -> None:
    sender = Sender(*(TransientError(f"refused {number}") for number in range(9)))
    answer, _ = run(sender, retries=3, seconds=60, jitter=longest)
    assert (answer, len(sender.asked_at)) == ("refused 3", 4)


def test_a_pause_that_would_outlast_the_deadline_is_not_made() -> None:
    sender = Sender(*(TransientError("refused") for _ in range(9)), seconds_each=0.4)
    answer, seconds = run(sender, retries=9, seconds=0.9, jitter=longest)
    assert answer == "refused"
    assert seconds == pytest.approx(0.4 + 0.05 + 0.4)


def test_what_another_try_would_not_mend_is_not_tried_again() -> None:
    sender = Sender(TierFailedError("nonsense"))
    assert run(sender, retries=9, seconds=60, jitter=longest) == ("nonsense", 0.0)
