"""Puts users into buckets: the same user always into the same one, other flags' buckets independent of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mmh3

if TYPE_CHECKING:
    from collections.abc import Callable

BUCKETS = 100_000
"""Of 0.001 % each."""

_HASH_BITS = 32
_PER_PERCENT = BUCKETS // 100
_ROUNDING = 1e-6


def threshold(percentage: float) -> int:
    """Return how many buckets a percentage takes: those below the number, so that more percent only adds users."""
    return round(percentage * _PER_PERCENT)


def is_whole_step(percentage: float) -> bool:
    """Return whether a percentage is a multiple of 0.001."""
    return abs(percentage * _PER_PERCENT - threshold(percentage)) < _ROUNDING


def bucket(salt: str, user_id: str) -> int:
    """Return a user's bucket, 0 to `BUCKETS` - 1: 32-bit murmur3 of `salt.user`, scaled.

    Raises:
        UnicodeEncodeError: The user's id is no Unicode text. (mmh3 itself, given such text, ends the process.)
    """
    return mmh3.mmh3_32_uintdigest(f"{salt}.{user_id}".encode()) * BUCKETS >> _HASH_BITS


def below(salt: str, limit: int) -> Callable[[str], bool]:
    """Return what says whether a user's bucket is below a limit, with everything worked out that can be."""
    prefix, murmur3 = f"{salt}.", mmh3.mmh3_32_uintdigest
    # bucket < limit without the division: hash * BUCKETS >> 32 < limit exactly where hash * BUCKETS < limit << 32
    bound = -(-(limit << _HASH_BITS) // BUCKETS)

    def is_below(user_id: str) -> bool:
        return murmur3((prefix + user_id).encode()) < bound

    return is_below
