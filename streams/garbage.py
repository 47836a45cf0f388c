"""Keeps Python's garbage collector from stopping a worker again and again.

By default the collector looks at everything alive whenever enough has been made since: with the libraries and models of
a worker and the objects of a batch, that stops all threads for a tenth of a second at a time. Measured under full load
on two cores, that was two fifths of the throughput and most of the time that the slowest flag change took.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

_YOUNG_OBJECTS = 50_000
"""New objects that may be alive before they are looked at: more than a batch has, which go by themselves."""

_GENERATIONS = 20
"""So many looks at the young for one at the middle-aged, and as many of those for one at all that is not frozen."""


def collect_seldom() -> None:
    """Let the collector run only when much has piled up."""
    gc.set_threshold(_YOUNG_OBJECTS, _GENERATIONS, _GENERATIONS)


def keep_for_good() -> None:
    """Never look again at what is alive now, and give back what is not.

    To be called when all is loaded, and again when another release was: what the former had leaves then. Takes a
    fraction of a second.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    _give_back()


def _give_back() -> None:
    """Return freed memory to the system, which glibc otherwise keeps: measured, 280 MB of 700 after a swap."""
    with contextlib.suppress(OSError, AttributeError):  # another libc has no such call, and may need none
        ctypes.CDLL(None).malloc_trim(0)
