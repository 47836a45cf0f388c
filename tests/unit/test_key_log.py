"""Who waits for people's keys waits as long as they come, and no longer than its patience once none does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

import pytest

from streams.privacy.key_log import KeyFollower
from streams.privacy.parts import KeysAwayError

if TYPE_CHECKING:
    from collections.abc import Callable


class Arrivals:
    """A condition under which, each time somebody waits, the log is read up to the next of these offsets."""

    def __init__(self, follower: KeyFollower, *offsets: int) -> None:
        self._follower = follower
        self._offsets = list(offsets)
        self.waits = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def wait_for(self, happened: Callable[[], bool], _seconds: float) -> bool:
        self.waits += 1
        if self._offsets:
            self._follower._applied = self._offsets.pop(0)
        return happened()


@pytest.fixture
def follower() -> KeyFollower:
    nobody = cast("Any", None)
    return KeyFollower(nobody, new_consumer=nobody, admin=nobody, topic="keys", observer=nobody)


def read_to(follower: KeyFollower, *offsets: int) -> Arrivals:
    arrivals = Arrivals(follower, *offsets)
    follower._news = cast("Any", arrivals)
    return arrivals


def test_it_waits_anew_for_each_key_that_comes(follower: KeyFollower) -> None:
    arrivals = read_to(follower, *range(1, 13))
    follower.wait_until_applied(12)
    assert arrivals.waits == 12


@pytest.mark.parametrize("offsets", [(), (5,), (5, 0, 3)], ids=["none comes", "no more come", "it begins anew"])
def test_it_says_that_the_broker_may_be_away_once_none_comes(follower: KeyFollower, offsets: tuple[int, ...]) -> None:
    read_to(follower, *offsets)
    with pytest.raises(KeysAwayError, match="the broker may be away"):
        follower.wait_until_applied(12)
