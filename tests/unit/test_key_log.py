"""Who waits for people's keys waits as long as they come, and no longer than its patience once none does."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

import pytest

from streams.privacy.key_log import KeyFollower
from streams.privacy.parts import KeysAwayError

RECORDS = 12
PATIENCE_SECONDS = 2.0


class Tail:
    """A tail that has come so far."""

    reached = 0


@pytest.fixture
def tail() -> Tail:
    return Tail()


@pytest.fixture
def follower(tail: Tail) -> KeyFollower:
    nobody = cast("Any", None)
    made = KeyFollower(nobody, new_consumer=nobody, admin=nobody, topic="keys", observer=nobody)
    made._tail = cast("Any", tail)
    return made


def test_it_waits_longer_than_its_patience_as_long_as_keys_come(follower: KeyFollower, tail: Tail) -> None:
    def come() -> None:
        for offset in range(1, RECORDS + 1):
            time.sleep(PATIENCE_SECONDS / 10)
            tail.reached = offset
            follower.came([], at_end=False)

    threading.Thread(target=come, daemon=True).start()
    follower.wait_until_applied(RECORDS, PATIENCE_SECONDS)
    assert follower.applied == RECORDS


def test_it_says_that_the_broker_may_be_away_once_none_comes(follower: KeyFollower) -> None:
    with pytest.raises(KeysAwayError, match="the broker may be away"):
        follower.wait_until_applied(1, 0.1)
