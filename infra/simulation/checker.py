"""Says what is wrong with what came out, by the logs alone: it knows nothing of the core but its promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from infra.simulation.log import DEAD_LETTERS, RESULTS

if TYPE_CHECKING:
    from infra.simulation.log import Entry, Transaction, Written


class Violation(NamedTuple):
    """A promise that was broken."""

    invariant: str
    detail: str


class BrokenError(Exception):
    """Ends a run at its first violation."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.violation = Violation(invariant, detail)


class Checker:
    """Looks at each transaction when it becomes visible, and at everything in the end.

    Args:
        partitions: Of the input.
    """

    def __init__(self, partitions: int) -> None:
        self.answers = 0
        self.found: Violation | None = None
        self._answered: list[set[int]] = [set() for _ in range(partitions)]
        self._last: list[int] = [-1] * partitions
        self._committed: list[int] = [0] * partitions

    def settled(self, transaction: Transaction, log: list[list[Entry | None]]) -> None:
        """Look at a transaction; one that was aborted must change nothing."""
        if self.found is not None or transaction.state != "committed":
            return
        try:
            for written in transaction.written:
                self._see(written, log)
            for partition, offset in transaction.offsets.items():
                self._advance(partition, offset, log)
        except BrokenError as broken:
            self.found = broken.violation

    def finished(self, log: list[list[Entry | None]]) -> Violation | None:
        """Return what is missing in the end."""
        for partition, entries in enumerate(log):
            missing = self._unanswered(partition, len(entries), entries)
            if missing:
                return Violation("answered", f"{len(missing)} of partition {partition} never were, {missing[0]} first")
        return None

    def is_complete(self, log: list[list[Entry | None]]) -> bool:
        """Return whether everything that came in is answered."""
        return sum(map(len, self._answered)) == sum(entry is not None for entries in log for entry in entries)

    def _see(self, written: Written, log: list[list[Entry | None]]) -> None:
        place, _, said = (written.value or b"").decode().partition(" ")
        partition, offset = map(int, place.split(":"))
        entry = log[partition][offset]
        if entry is None or written.topic not in {RESULTS, DEAD_LETTERS}:
            raise BrokenError("answer", f"{written} answers nothing")
        if offset in self._answered[partition]:
            raise BrokenError("once", f"partition {partition}, offset {offset} was answered twice")
        is_text = (entry.value or b"").startswith(b"text ")
        if is_text is (written.topic == DEAD_LETTERS):
            raise BrokenError("answer", f"{entry.value!r} is on {written.topic}")
        if is_text:
            _check_words((entry.value or b"").decode(), said)
            if written.partition != partition or offset <= self._last[partition]:
                raise BrokenError("order", f"partition {partition}, offset {offset} behind {self._last[partition]}")
            self._last[partition] = offset
        self._answered[partition].add(offset)
        self.answers += 1

    def _advance(self, partition: int, offset: int, log: list[list[Entry | None]]) -> None:
        if offset < self._committed[partition]:
            raise BrokenError(
                "offsets", f"partition {partition} went back from {self._committed[partition]} to {offset}"
            )
        missing = self._unanswered(partition, offset, log[partition])
        if missing:
            raise BrokenError("offsets", f"partition {partition} at {offset}, and {missing[0]} is not answered")
        self._committed[partition] = offset

    def _unanswered(self, partition: int, end: int, entries: list[Entry | None]) -> list[int]:
        begin = min(self._committed[partition], end)
        return [
            offset
            for offset in range(begin, end)
            if entries[offset] is not None and offset not in self._answered[partition]
        ]


def _check_words(text: str, said: str) -> None:
    """An answer by a tier is the one that this tier gives to this text; one by nobody says that nobody could."""
    intent, _, tier = said.partition(" ")
    if not intent or not tier:
        raise BrokenError("answer", f"{text!r} has none: {said!r}")
    expected = text.rsplit(maxsplit=1)[-1]
    if tier != "none" and intent != expected:
        raise BrokenError("answer", f"{text!r} got {intent!r} by {tier}, which says {expected!r}")
