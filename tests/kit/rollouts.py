"""Users who have a flag or not, whose utterances are answered as workers would, but with the outcomes a test wants."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from confluent_kafka import Producer

from flags.compiling import Reason
from flags.evaluation import Context
from infra.background import Background
from schemas.events import Attempt, Correction, Outcome, Result, Timings
from streams.topics import FEEDBACK, RESULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flags.evaluation import Snapshot
    from flags.rollouts.decision import Look
    from flags.rollouts.status import RolloutStatus

_TICK_SECONDS = 0.02


class Fate(NamedTuple):
    """What becomes of one utterance."""

    failed: bool = False
    degraded: bool = False
    seconds: float = 0.01
    corrected: bool = False


class Audience(Background):
    """Publishes results beside the test, every one of another user, at a steady rate. Leaving it stops it.

    Args:
        broker: Its bootstrap servers.
        flag: Under rollout.
        snapshot: Returns the flags as they stand.
        fate: What becomes of an utterance, by its user's variant; called with chance to draw from.
        per_second: Utterances.

    Attributes:
        asked: The newest revision of the flags that any utterance met with.
        treated: The newest by which anybody had the flag.
    """

    def __init__(
        self,
        broker: str,
        *,
        flag: str,
        snapshot: Callable[[], Snapshot],
        fate: Callable[[str, random.Random], Fate] = lambda _variant, _chance: Fate(),
        per_second: int = 5_000,
    ) -> None:
        super().__init__("audience")
        self.fate = fate
        self.asked = self.treated = 0
        self._flag = flag
        self._snapshot = snapshot
        self._per_tick = max(1, int(per_second * _TICK_SECONDS))
        self._producer = Producer({"bootstrap.servers": broker, "linger.ms": 5})
        self._chance = random.Random(20_261_123)  # noqa: S311 - no secret
        self._said = 0

    def stop(self) -> None:
        """Say nothing more, and wait until all that was said is on the log."""
        super().stop()
        assert self._producer.flush(30) == 0

    def run(self) -> None:
        while not self.ending.wait(_TICK_SECONDS):
            flags = self._snapshot()
            for _ in range(self._per_tick):
                self._say(flags)
            self._producer.poll(0)

    def _say(self, flags: Snapshot) -> None:
        self._said += 1
        user = f"user-{self._flag}-{self._said}"
        answer = flags.evaluate(self._flag, Context(user_id=user))
        variant = str(answer.variant)
        self.asked = flags.revision
        if answer.value is True:
            self.treated = flags.revision
        fate = self.fate(variant, self._chance)
        utterance_id = f"{self._flag}-{self._said}"
        result = Result(
            id=f"{utterance_id}/result",
            utterance_id=utterance_id,
            intent="greeting",
            confidence=0.9,
            tier="rules",
            tried=(Attempt(tier="rules", outcome=Outcome.FAILED if fate.failed else Outcome.ANSWERED),),
            degraded=fate.degraded,
            strategy="adaptive",
            release="r",
            exposures={self._flag: variant} if answer.reason is Reason.SPLIT else {},
            flags_revision=flags.revision,
            user_id=user,
            timings=Timings(queue_seconds=0.0, classify_seconds=fate.seconds),
        )
        self._producer.produce(RESULTS, msgspec.json.encode(result), utterance_id.encode())
        if fate.corrected:
            correction = Correction(utterance_id=utterance_id, intent="goodbye", person_id="a-person")
            self._producer.produce(FEEDBACK, msgspec.json.encode(correction), utterance_id.encode())


class Judged:
    """What a runner shows."""

    def __init__(self) -> None:
        self.statuses: list[RolloutStatus] = []
        self.moved: list[tuple[str, str]] = []

    def of(self, flag: str) -> list[RolloutStatus]:
        """Return what was said of one flag, the newest last."""
        return [status for status in self.statuses if status.flag == flag]

    def looks_at(self, flag: str) -> list[Look]:
        """Return what was seen of one flag's users, the newest last."""
        return [status.look for status in self.of(flag) if status.look is not None]

    def rollouts_judged(
        self,
        statuses: Sequence[RolloutStatus],
        behind_seconds: float,  # noqa: ARG002 - as the runner calls it
    ) -> None:
        self.statuses = [*self.statuses, *statuses][-1_000:]

    def rollout_moved(self, flag: str, verdict: str) -> None:
        self.moved.append((flag, str(verdict)))

    def broker_error(self, code: str) -> None:
        """Brokers go away here on purpose."""

    def unexpected(self, guard: str) -> None:
        raise AssertionError(guard)
