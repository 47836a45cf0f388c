"""What people's keys cost: to who speaks for the first time, and to a worker, which remembers everybody's."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, cast

from streams.privacy.parts import KeysAwayError, new_person_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.settings import Settings
    from streams.privacy.person_keys import PersonKeys
    from streams.privacy.sealing import Sealed

_ALONE, _TOGETHER = 20, 100
_AT_ONCE = 5_000
"""A transaction's: what the client's queue takes."""
_READ_SECONDS = 600.0


class Followed(NamedTuple):
    """What it took to follow the keys' log to its end, and what is held since."""

    seconds: float
    processor_ms: float
    megabytes: float


class People:
    """Everybody who was given a key.

    Args:
        keys: Give them.

    Attributes:
        count: How many they are.
    """

    def __init__(self, keys: PersonKeys) -> None:
        self.keys = keys
        self.count = 0

    @staticmethod
    def name(number: int) -> str:
        """Return who somebody is."""
        return f"user-{number}"

    def grow(self, count: int) -> None:
        """Give keys to more people, until they are so many."""
        while self.count < count:
            self.speak(min(_AT_ONCE, count - self.count), "hello")

    def speak(self, count: int, text: str) -> list[Sealed]:
        """Return a text, sealed for each of so many people who had no key yet."""
        said = [(self.name(number), text) for number in range(self.count, self.count + count)]
        self.count += count
        return self.keys.seal_all(said)


def keys_of(settings: Settings) -> PersonKeys:
    """Return the keys of people, not started.

    Raises:
        InvalidSettingsError: The extra `privacy` is not installed.
    """
    return cast("PersonKeys", new_person_keys(settings))  # the settings name a master key


def first_texts(everybody: People, text: str) -> dict[str, float]:
    """Return the milliseconds that people wait for their first text: one after another, and a hundred at once."""
    return {
        "first_text_ms": statistics.median(_milliseconds(everybody, 1, text) for _ in range(_ALONE)),
        f"first_texts_of_{_TOGETHER}_ms": _milliseconds(everybody, _TOGETHER, text),
    }


def followed(settings: Settings) -> Followed:
    """Follow the keys as a worker that starts does, once by the clock and once by what is held in the end.

    Raises:
        KeysAwayError: The broker went away meanwhile.
    """
    begun, used = time.perf_counter(), time.process_time()
    with _read_to_the_end(settings):
        seconds, processor_seconds = time.perf_counter() - begun, time.process_time() - used
    tracemalloc.start()
    try:
        with _read_to_the_end(settings):
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Followed(seconds, 1_000 * processor_seconds, held / 1e6)


@contextmanager
def _read_to_the_end(settings: Settings) -> Iterator[None]:
    """Have keys followed that are all known by now, however long that takes."""
    keys, deadline = keys_of(settings), time.monotonic() + _READ_SECONDS
    keys.start()
    try:
        while True:
            try:
                keys.wait_until_read()
                break
            except KeysAwayError:
                if time.monotonic() > deadline:
                    raise
        yield
    finally:
        keys.stop()


def _milliseconds(everybody: People, count: int, text: str) -> float:
    begun = time.perf_counter()
    everybody.speak(count, text)
    return 1_000 * (time.perf_counter() - begun)
