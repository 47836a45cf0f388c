"""All that seals and opens texts, tied together: what a worker, or a command, has of people's keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import structlog
from confluent_kafka import Consumer, KafkaException, Producer

from flags.clients import follower_config, reader_config, writer_config
from schemas.errors import UnavailableError
from schemas.events import PersonKey
from schemas.privacy import read_master_key
from streams.clients import admin_client, client_config, producer_config
from streams.privacy.key_log import KeyFollower
from streams.privacy.key_ring import KeyRing
from streams.privacy.key_writer import SWEEP_NAME, KeyWriter, write_key_record
from streams.privacy.sealing import MasterKey
from streams.results import timestamp
from streams.topics import KEYS, KEYS_COMPACTION_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from flags.log_tail import TailObserver
    from schemas.cloudevents import OpenText
    from schemas.settings import Settings
    from streams.privacy.key_writer import Destroyed
    from streams.privacy.sealing import Sealed

_log = structlog.get_logger(__name__)

_TRIES = 3
_SWEEP_SECONDS = 5.0


class _Unobserved:
    """Nobody counts for a command."""

    def broker_error(self, code: str) -> None:
        """Leave it to librdkafka."""

    def unexpected(self, guard: str) -> None:
        """Leave it to the log."""


class PersonKeys:
    """The keys. Start it before all that asks for them; any thread may. For a command, it is a context manager.

    Args:
        settings: Where the broker is, and who we are.
        master_key_file: Holds the secret that keys are wrapped with.
        observer: Who counts.
        announce: Called after a key was destroyed; must not block.
        sweeps: Whether we see to it that destroyed keys are compacted away.
        sweep_seconds: How long after they were destroyed.
    """

    def __init__(
        self,
        settings: Settings,
        master_key_file: Path,
        *,
        observer: TailObserver | None = None,
        announce: Callable[[], None] = lambda: None,
        sweeps: bool = False,
        sweep_seconds: float = KEYS_COMPACTION_SECONDS,
    ) -> None:
        self._settings = settings
        self._master = MasterKey(read_master_key(master_key_file))
        client = client_config(settings)
        self._follower = KeyFollower(
            KeyRing(self._master),
            new_consumer=lambda: Consumer(follower_config(client)),
            admin=admin_client(settings),
            topic=KEYS,
            observer=observer or _Unobserved(),
            announce=announce,
            sweep=self._sweep if sweeps else None,
            sweep_seconds=sweep_seconds,
        )
        self._writer = KeyWriter(
            new_producer=lambda: Producer(writer_config(client, settings.worker.group_id, purpose="keys-writer")),
            new_consumer=lambda: Consumer(reader_config(client)),
            topic=KEYS,
            follower=self._follower,
            master=self._master,
            by=settings.worker.id,
        )

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_until_read()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def applied(self) -> int:
        """Return the first offset of the keys' log that is not in force here yet."""
        return self._follower.applied

    def start(self) -> None:
        """Begin to follow the keys."""
        self._follower.start()

    def stop(self) -> None:
        """Let go of the broker. Blocks for a moment."""
        self._follower.stop()
        self._writer.close()

    def wait_until_read(self) -> None:
        """Wait until all is known that the log says now.

        Raises:
            UnavailableError: The broker is away, or there is no such topic.
        """
        self._follower.wait_until_current(time.monotonic())

    def opening(self) -> OpenText:
        """Return what opens texts that have come by now; see `KeyFollower.opening`."""
        return self._follower.opening()

    def seal(self, person_id: str, text: str) -> Sealed:
        """Return a person's text, sealed; who has no key is given one, for which this waits.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away.
        """
        return self.seal_all([(person_id, text)])[0]

    def seal_all(self, said: Sequence[tuple[str, str]]) -> list[Sealed]:
        """Return what people said, sealed, with one wait for the keys of all who have none.

        Args:
            said: Who, and what.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away.
        """
        names = [self._master.name(person_id) for person_id, _ in said]
        for _ in range(_TRIES):
            self._writer.provide(set(names))
            sealed = [self._follower.ring.seal(name, text) for name, (_, text) in zip(names, said, strict=True)]
            done = [each for each in sealed if each is not None]
            if len(done) == len(said):
                return done
        raise UnavailableError("A person is forgotten again and again while their text is to be sealed.")

    def destroy(self, person_id: str, *, by: str, reason: str) -> Destroyed:
        """Destroy a person's key.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away; it may have been destroyed all the same.
        """
        return self._writer.destroy(self._master.name(person_id), by=by, reason=reason)

    def _sweep(self) -> None:
        """Write what has Kafka close the segment that is open."""
        record = PersonKey(generation=0, changed_at=timestamp(time.time()), changed_by=self._settings.worker.id)
        producer = Producer(producer_config(self._settings) | {"message.timeout.ms": int(_SWEEP_SECONDS * 1000)})
        try:
            write_key_record(producer, KEYS, SWEEP_NAME, record, lambda _error, _record: None)
            producer.flush(_SWEEP_SECONDS)
        except KafkaException as failure:
            _log.warning("keys_not_swept", reason=failure.args[0].str())
