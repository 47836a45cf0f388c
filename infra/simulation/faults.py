"""What may go wrong with one call to the broker, as librdkafka says it; drawn anew at each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from greenlet import GreenletExit

if TYPE_CHECKING:
    from infra.simulation.world import Process, World

_RETRIABLE = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.COORDINATOR_NOT_AVAILABLE)  # noqa: SLF001 - their public names
_ABORTABLE = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.NOT_ENOUGH_REPLICAS)
_BESIDE_RECORDS = (
    KafkaError._TRANSPORT,  # noqa: SLF001 - their public names
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError._PARTITION_EOF,  # noqa: SLF001
    KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001
)


class Faults:
    """Draws faults for one process, while there are to be any.

    Args:
        world: Chance.
        process: Which may die of them.
        rate: How likely a call fails, and a tenth as likely kills.

    Attributes:
        away_until: Until when the broker does not answer anybody.
    """

    def __init__(self, world: World, process: Process, rate: float) -> None:
        self.rate = rate
        self.away_until = 0.0
        self.drawn = 0
        self._world = world
        self._process = process

    def maybe_crash(self) -> None:
        """Kill the process, maybe: everything that it does happens before or after such a moment."""
        if self.rate and self._world.happens(self.rate / 10):
            self.drawn += 1
            self._world.loop.call_soon(self._process.kill)
            self._process.dead = True
            raise GreenletExit

    def maybe_retriable(self) -> None:
        """Fail as what may be asked again."""
        is_away = self._world.now < self.away_until
        if is_away:
            self._world.pause(0.2, 2.0)
            self._process.check()
        if is_away or self._fails():
            raise KafkaException(KafkaError(self._world.chance.choice(_RETRIABLE), "simulated", retriable=True))

    def maybe_abortable(self) -> None:
        """Fail as what only an abort mends."""
        if self._fails():
            raise KafkaException(
                KafkaError(self._world.chance.choice(_ABORTABLE), "simulated", txn_requires_abort=True)
            )

    def maybe_odd(self) -> None:
        """Fail as what is neither retriable, nor abortable, nor fatal."""
        if self._fails():
            raise KafkaException(KafkaError(KafkaError._STATE, "simulated"))  # noqa: SLF001 - its public name

    def beside_records(self) -> KafkaError | None:
        """Return what librdkafka says in a record's place, if it says something."""
        if self._world.now < self.away_until or not self._fails():
            return None
        return KafkaError(self._world.chance.choice(_BESIDE_RECORDS), "simulated")

    def beside_answers(self) -> KafkaError | None:
        """Return what one partition's answer is instead, if it is an error."""
        return KafkaError(self._world.chance.choice(_RETRIABLE), "simulated") if self._fails() else None

    def maybe_full(self) -> None:
        """Have no room for another record."""
        if self._fails():
            raise BufferError

    def _fails(self) -> bool:
        fails = self.rate > 0 and self._world.happens(self.rate)
        self.drawn += fails
        return fails
