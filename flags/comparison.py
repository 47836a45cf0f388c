"""What has been seen of a flag's users by their variant: results as they come, and the corrections that belong to them.

Read in whichever order, from whichever partition first, the same records come to the same numbers; so a controller that
starts anew knows what the one before it knew. Memory is bounded: a correction counts for one of the last
`REMEMBERED` results.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import mmh3
import msgspec

from flags.statistics.arm import Arm
from schemas.events import Outcome, Timings

REMEMBERED = 200_000
_UNMATCHED = 20_000
_FAILURES = frozenset({Outcome.FAILED, Outcome.TIMEOUT})


class _Turn(msgspec.Struct, frozen=True):
    """What evidence needs of an attempt."""

    outcome: Outcome


class SeenResult(msgspec.Struct, frozen=True, kw_only=True):
    """What evidence needs of a result; the rest is not even read."""

    utterance_id: str
    user_id: str | None = None
    exposures: dict[str, str] = {}
    flags_revision: int = 0
    degraded: bool = False
    tried: tuple[_Turn, ...] = ()
    timings: Timings

    @property
    def failed(self) -> bool:
        """Return whether a tier failed at it or ran out of time."""
        return any(turn.outcome in _FAILURES for turn in self.tried)


class SeenCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """What evidence needs of a correction; what lacks one of these fields is none."""

    utterance_id: str
    person_id: str
    intent: str | None


class Since(NamedTuple):
    """From where on a flag's users are compared: the flag, the revision, and when that was, Unix time."""

    flag: str
    revision: int
    seconds: float


class Comparison:
    """The users of one flag, by variant, since a revision. Not safe to use from several threads.

    Args:
        since: Of which flag, and what counts: what was decided by an older revision does not.

    Attributes:
        arms: By variant.
    """

    def __init__(self, since: Since) -> None:
        self.since = since
        self.arms: dict[str, Arm] = {}
        self._answers: dict[int, tuple[Arm, str]] = {}
        self._corrections: dict[int, float] = {}

    def arm(self, variant: str) -> Arm:
        """Return what is known of those with a variant."""
        arm = self.arms.get(variant)
        if arm is None:
            arm = self.arms[variant] = Arm()
        return arm

    def see_result(self, result: SeenResult, at_seconds: float) -> None:
        """Count a result, if it belongs here.

        Args:
            result: Each once.
            at_seconds: When it was written, Unix time.
        """
        variant = result.exposures.get(self.since.flag)
        if variant is None or result.user_id is None or result.flags_revision < self.since.revision:
            return
        arm = self.arm(variant)
        arm.add(
            result.user_id,
            at_seconds=at_seconds,
            # Time in the queue is the same for both sides, whichever of them made it long.
            latency_seconds=result.timings.classify_seconds,
            cost_seconds=result.timings.compute_seconds,
            failed=result.failed,
            degraded=result.degraded,
        )
        key = _hash(result.utterance_id)
        corrected_at = self._corrections.pop(key, None)
        if corrected_at is not None:
            arm.correct(result.user_id, at_seconds=corrected_at)
        else:
            _remember(self._answers, key, (arm, result.user_id), REMEMBERED)

    def see_correction(self, correction: SeenCorrection, at_seconds: float) -> None:
        """Count that people corrected an answer; once, however many did. It may be read before the answer."""
        key = _hash(correction.utterance_id)
        answer = self._answers.pop(key, None)
        if answer is None:
            _remember(self._corrections, key, at_seconds, _UNMATCHED)
        else:
            arm, user_id = answer
            arm.correct(user_id, at_seconds=at_seconds)


def _remember(memory: dict[int, Any], key: int, value: object, most: int) -> None:
    if len(memory) >= most:
        del memory[next(iter(memory))]
    memory[key] = value


def _hash(identifier: str) -> int:
    return mmh3.mmh3_x64_128_uintdigest(identifier.encode(errors="surrogatepass"))
