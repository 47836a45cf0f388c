"""The broker's logs and transactions: pending, prepared, committed or aborted, and fenced by their producer's epoch.

As Kafka has it: what is prepared is decided, but its records and offsets are seen only once the markers stand, and
whoever asks for a group's offsets meanwhile has to wait (KIP-447).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.simulation.world import Waiter, World

INPUT = "utterances"
RESULTS = "results"
DEAD_LETTERS = "deadletters"

_TRANSACTION_SECONDS = 5.0
_MOST_MARKER_SECONDS = 0.2


class Entry(NamedTuple):
    """A record of a log."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int


class Written(NamedTuple):
    """A record of a transaction."""

    topic: str
    partition: int
    value: bytes | None


@dataclass(eq=False)
class Transaction:
    """What becomes visible together, or never."""

    state: Literal["open", "prepared", "committed", "aborted"] = "open"
    written: list[Written] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)


class FencedError(Exception):
    """The producer's epoch is over."""


class _Producers:
    """What the coordinator knows of one transactional id."""

    def __init__(self) -> None:
        self.epoch = -1
        self.last: Transaction | None = None


class Log:
    """All topics, and the group's offsets.

    Args:
        world: Time and chance.
        partitions: Of the input, and so of the results.
        settled: Is told of each transaction that ended, committed or aborted, when its markers stand.

    Attributes:
        input: By partition; None stands where a marker does, which is no record.
        committed: The group's offsets, by partition.
        missing_partition: Whether the results lack one, until the topics are repaired.
    """

    def __init__(self, world: World, partitions: int, settled: Callable[[Transaction], None]) -> None:
        self.input: list[list[Entry | None]] = [[] for _ in range(partitions)]
        self.committed: dict[int, int] = {}
        self.changed: list[Waiter] = []
        self.missing_partition = False
        self._world = world
        self._settled = settled
        self._producers: dict[str, _Producers] = {}
        self._unsettled: list[Transaction] = []

    def append(self, partition: int, entry: Entry | None) -> None:
        """Have a record come in."""
        self.input[partition].append(entry)
        self.notify()

    def notify(self) -> None:
        """Wake who waits for anything."""
        waiting, self.changed = self.changed, []
        for waiter in waiting:
            waiter.wake()

    def is_stable(self, partition: int) -> bool:
        """Return whether no transaction may still change the group's offset of a partition."""
        return not any(partition in each.offsets for each in self._unsettled)

    def begin_epoch(self, name: str) -> int:
        """Return a new producer's epoch; whatever the one before it left is ended."""
        producers = self._producers.setdefault(name, _Producers())
        producers.epoch += 1
        if producers.last is not None:
            if producers.last.state == "open":
                self._settle(producers.last, "aborted")
            elif producers.last.state == "prepared":
                self._settle(producers.last, "committed")
        return producers.epoch

    def begin(self, name: str, epoch: int) -> Transaction:
        """Begin a transaction; it is aborted, and its producer fenced, if it takes too long."""
        producers = self._current(name, epoch)
        if producers.last is not None and producers.last.state == "prepared":
            self._settle(producers.last, "committed")
        transaction = producers.last = Transaction()
        self._unsettled.append(transaction)
        self._world.loop.call_later(_TRANSACTION_SECONDS, self._expire, producers, transaction)
        return transaction

    def write(self, name: str, epoch: int, transaction: Transaction, written: Written) -> None:
        """Append a record, unseen as yet."""
        self._current(name, epoch)
        transaction.written.append(written)

    def add_offsets(self, name: str, epoch: int, transaction: Transaction, offsets: Mapping[int, int]) -> None:
        """Have the group's offsets belong to a transaction."""
        self._current(name, epoch)
        transaction.offsets.update(offsets)

    def end(self, name: str, epoch: int, transaction: Transaction, *, commit: bool) -> None:
        """Decide a transaction; its markers follow. Asked again, it stays as it is."""
        self._current(name, epoch)
        if transaction.state != "open":
            return
        if not commit:
            self._settle(transaction, "aborted")
            return
        transaction.state = "prepared"
        seconds = self._world.chance.choice((0.0, 0.001, self._world.chance.uniform(0, _MOST_MARKER_SECONDS)))
        self._world.loop.call_later(seconds, self._settle, transaction, "committed")

    def _current(self, name: str, epoch: int) -> _Producers:
        producers = self._producers[name]
        if producers.epoch != epoch:
            raise FencedError
        return producers

    def _expire(self, producers: _Producers, transaction: Transaction) -> None:
        if transaction.state == "open":
            producers.epoch += 1
            self._settle(transaction, "aborted")

    def _settle(self, transaction: Transaction, state: Literal["committed", "aborted"]) -> None:
        if transaction.state not in {"open", "prepared"}:
            return
        transaction.state = state
        self._unsettled.remove(transaction)
        if state == "committed":
            self.committed.update(transaction.offsets)
        self._settled(transaction)
        self.notify()
