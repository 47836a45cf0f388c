"""Which fault comes when: drawn from a seed, so that the same seed is the same schedule on any machine."""

from __future__ import annotations

import enum
from random import Random
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP_SECONDS = (0.5, 4.0)
"""Between the end of one fault and the beginning of the next."""

_CALM_SHARE = 0.5


class Kind(enum.StrEnum):
    """What goes wrong. *Killed* is SIGKILL, *stopped* SIGTERM, *frozen* SIGSTOP; the others happen in the proxy."""

    WORKER_KILLED = "worker_killed"
    """And started again at once: as a static member it gets its partitions back."""
    WORKER_DEAD = "worker_dead"
    """Killed, and away for longer than its session: others take over."""
    WORKER_FROZEN = "worker_frozen"
    WORKER_STOPPED = "worker_stopped"
    REBALANCE_STORM = "rebalance_storm"
    """Strangers join the group and leave it, again and again."""
    BROKER_KILLED = "broker_killed"
    BROKER_STOPPED = "broker_stopped"
    BROKER_FROZEN = "broker_frozen"
    BROKER_CUT = "broker_cut"
    BROKER_HUNG = "broker_hung"
    BROKER_SLOW = "broker_slow"
    BROKER_THROTTLED = "broker_throttled"
    REDIS_KILLED = "redis_killed"
    REDIS_FROZEN = "redis_frozen"
    REDIS_CUT = "redis_cut"
    REDIS_HUNG = "redis_hung"
    REDIS_SLOW = "redis_slow"
    REDIS_THROTTLED = "redis_throttled"
    POSTGRES_KILLED = "postgres_killed"
    POSTGRES_FROZEN = "postgres_frozen"
    POSTGRES_CUT = "postgres_cut"
    POSTGRES_HUNG = "postgres_hung"
    POSTGRES_SLOW = "postgres_slow"
    POSTGRES_THROTTLED = "postgres_throttled"
    POISON = "poison"
    OVERLOAD = "overload"
    """Ten times as many utterances."""


_SECONDS = {
    Kind.WORKER_KILLED: (0.0, 0.0),
    Kind.WORKER_DEAD: (7.0, 12.0),  # a session is 6 s
    Kind.WORKER_FROZEN: (1.0, 12.0),
    Kind.WORKER_STOPPED: (0.0, 3.0),
    Kind.REBALANCE_STORM: (3.0, 6.0),
    Kind.BROKER_KILLED: (0.0, 15.0),  # probes are to say so within 10 s
    Kind.BROKER_STOPPED: (0.0, 5.0),
    Kind.BROKER_FROZEN: (1.0, 15.0),
    Kind.BROKER_CUT: (0.0, 15.0),
    Kind.BROKER_HUNG: (1.0, 15.0),
    Kind.POISON: (0.0, 0.0),
    Kind.OVERLOAD: (3.0, 6.0),
}
_OTHERS_SECONDS = (1.0, 8.0)
"""How long each lasts, at least and at most."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault.

    Attributes:
        number: From 1.
        kind: What goes wrong.
        calm: Whether it comes only once all has recovered from the one before; else it may meet what recovers.
        gap_seconds: After the end of the one before, or the recovery.
        seconds: How long it lasts.
        worker: Whom it befalls, from 0, where it befalls a worker.
    """

    number: int
    kind: Kind
    calm: bool
    gap_seconds: float
    seconds: float
    worker: int


def draw_schedule(count: int, *, seed: int, workers: int, kinds: Sequence[Kind] = tuple(Kind)) -> list[Fault]:
    """Return so many faults. Each kind comes once before any comes again, as with a deck of cards.

    Args:
        count: How many.
        seed: The same again gives the same again.
        workers: How many there are.
        kinds: Of these; in any order.
    """
    chance = Random(seed)  # noqa: S311 - keeps no secret
    deck: list[Kind] = []
    faults = []
    for number in range(1, count + 1):
        if not deck:
            deck = sorted(kinds)
            chance.shuffle(deck)
        kind = deck.pop()
        fault = Fault(
            number=number,
            kind=kind,
            calm=chance.random() < _CALM_SHARE,
            gap_seconds=round(chance.uniform(*_GAP_SECONDS), 3),
            seconds=round(chance.uniform(*_SECONDS.get(kind, _OTHERS_SECONDS)), 3),
            worker=chance.randrange(workers),
        )
        faults.append(fault)
    return faults
