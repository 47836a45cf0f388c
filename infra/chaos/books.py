"""Keeps account of what became of each utterance, from the records alone and with no decoding of the worker's."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

Place = tuple[int, int]
"""Partition and offset of an utterance."""

_ORIGIN = "__connect.errors."


class Books:
    """Fed with every record, topic by topic, each partition in its order; utterances first.

    Args:
        topic: The utterances', by its name.

    Attributes:
        events: What the results say, by their ids, as a digest: what a table of them must hold.
        revisions: Of the flags, by which they were decided.
        misplaced: Answers on another partition or under another key than their utterance's.
        disordered: Results that stand behind one of a later utterance of their partition.
        altered: Dead letters whose key or value is not what was sent.
        invented: Results and dead letters of utterances that there are none of.
    """

    def __init__(self, topic: str) -> None:
        self.events: dict[str, str] = {}
        self.revisions: set[int] = set()
        self.results = self.dead_letters = 0
        self.misplaced = self.disordered = self.altered = self.invented = 0
        self._topic = topic
        self._said: dict[Place, tuple[bytes | None, str]] = {}
        self._answers: Counter[Place] = Counter()
        self._last: defaultdict[int, int] = defaultdict(lambda: -1)
        self._times: defaultdict[int, list[float]] = defaultdict(list)

    def utterance(self, place: Place, key: bytes | None, value: bytes | None) -> None:
        """Note what somebody said."""
        self._said[place] = key, _digest(value)

    def result(self, partition: int, key: bytes | None, value: bytes, at: float) -> None:
        """Note a result; one that was asked for over HTTP has no place among the utterances and does not count.

        Args:
            partition: Where it stands.
            key: Its key.
            value: What it says.
            at: When the broker appended it, in Unix seconds.
        """
        said = json.loads(value)
        self.events[said["id"]] = event_digest(said)
        source = said.get("source")
        if not source or source["topic"] != self._topic:
            return
        place = source["partition"], source["offset"]
        self.results += 1
        self.revisions.add(said.get("flags_revision", 0))
        self._times[partition].append(at)
        if place not in self._said:
            self.invented += 1
            return
        self._answers[place] += 1
        sent_under = self._said[place][0]
        self.misplaced += partition != place[0] or (sent_under is not None and key != sent_under)
        self.disordered += place[1] <= self._last[place[0]]
        self._last[place[0]] = max(place[1], self._last[place[0]])

    def dead_letter(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None
    ) -> None:
        """Note a dead letter; those of other topics do not count."""
        named = {name: content or b"" for name, content in headers or () if name.startswith(_ORIGIN)}
        if named.get(f"{_ORIGIN}topic", b"").decode() != self._topic:
            return
        place = int(named[f"{_ORIGIN}partition"]), int(named[f"{_ORIGIN}offset"])
        self.dead_letters += 1
        if place not in self._said:
            self.invented += 1
            return
        self._answers[place] += 1
        self.altered += self._said[place] != (key, _digest(value))

    @property
    def utterances(self) -> int:
        """Return how many there are."""
        return len(self._said)

    @property
    def duplicated(self) -> int:
        """Return how many utterances have more than one answer."""
        return sum(count > 1 for count in self._answers.values())

    def lost(self, committed: Mapping[int, int]) -> int:
        """Return how many have no answer and will get none, for the group has committed what is behind them.

        Args:
            committed: The group's offset, by partition.
        """
        return sum(place[1] < committed.get(place[0], 0) for place in self._unanswered())

    def unanswered(self, committed: Mapping[int, int]) -> int:
        """Return how many still wait."""
        return sum(place[1] >= committed.get(place[0], 0) for place in self._unanswered())

    def pause(self, begun: float, ended: float) -> tuple[float, float]:
        """Return the longest time that a partition got no result, of those that reach into a span of time.

        Args:
            begun: In Unix seconds.
            ended: Likewise.

        Returns:
            When it began and ended, likewise; nowhere where there are fewer than two results.
        """
        gaps = (_longest_gap(np.sort(times), begun, ended) for times in self._times.values())
        return max(gaps, key=lambda gap: gap[1] - gap[0], default=(0.0, 0.0))

    def _unanswered(self) -> list[Place]:
        return [place for place in self._said if not self._answers[place]]


def event_digest(event: Mapping[str, Any]) -> str:
    """Return what is the same for two events that say the same, however they are written."""
    return _digest(json.dumps(event, sort_keys=True).encode())


def _digest(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()[:32]


def _longest_gap(times: npt.NDArray[np.float64], begun: float, ended: float) -> tuple[float, float]:
    first = max(0, int(np.searchsorted(times, begun, side="right")) - 1)
    near = times[first : int(np.searchsorted(times, ended, side="right")) + 1]
    if len(near) < 2:  # noqa: PLR2004 - a gap has two ends
        return begun, begun
    longest = int(np.diff(near).argmax())
    return float(near[longest]), float(near[longest + 1])
