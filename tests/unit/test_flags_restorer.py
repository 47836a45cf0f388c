"""What puts damaged flags back can be stopped at any time, and tries again where it failed."""

from __future__ import annotations

import threading

from flags.restorer import Restorer
from schemas.errors import UnavailableError
from tests.kit.waiting import wait_until


def test_it_can_be_stopped_though_it_was_never_started() -> None:
    restorer = Restorer(
        damaged=frozenset,
        restore=lambda _name: None,
        strays=frozenset,
        bury_strays=lambda: 0,
        longest_wait_seconds=0.01,
    )
    restorer.stop()


def test_a_flag_that_could_not_be_put_back_is_tried_again() -> None:
    tried: list[str] = []
    mended = threading.Event()

    def restore(name: str) -> None:
        tried.append(name)
        if len(tried) == 1:
            raise UnavailableError("The broker is away.")
        mended.set()

    restorer = Restorer(
        damaged=lambda: frozenset() if mended.is_set() else frozenset({"caching"}),
        restore=restore,
        strays=frozenset,
        bury_strays=lambda: 0,
        longest_wait_seconds=0.01,
    )
    restorer.start()
    restorer.notice()
    wait_until(mended.is_set, "the flag is put back", seconds=10)
    restorer.stop()
    assert tried == ["caching", "caching"]


def test_strays_that_could_not_be_buried_are_tried_again() -> None:
    strays = {b"../caching"}
    tried = 0

    def bury() -> int:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise UnavailableError("The broker is away.")
        strays.clear()
        return 1

    restorer = Restorer(
        damaged=frozenset,
        restore=lambda _name: None,
        strays=lambda: frozenset(strays),
        bury_strays=bury,
        longest_wait_seconds=0.01,
    )
    restorer.start()
    restorer.notice()
    wait_until(lambda: not strays, "they are buried", seconds=10)
    restorer.stop()
    assert tried == 2
