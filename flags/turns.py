"""Taking turns at writing to a log, without a lock: who takes the turn fences who had it.

All writers of one log share a transactional id. Taking a turn makes the broker refuse whatever the writer before still
sends, so that what a writer read in its turn is still all there is when it commits. See docs/adr/0004.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException

from flags.clients import REFUSALS, retire
from flags.errors import ConflictError
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Producer

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_CALL_SECONDS = 5.0
_PATIENCE_SECONDS = 30.0
_FIRST_WAIT_SECONDS = 0.03
_LONGEST_WAIT_SECONDS = 1.0

_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own errors are named so
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)


class Turns:
    """One writer among those that share a transactional id. One thread at a time; `close` from any.

    It keeps its turn until another takes it, and needs no call but the transaction's while nobody else writes.

    Args:
        new_producer: Makes a producer as `flags.clients.writer_config` configures it.
    """

    def __init__(self, new_producer: Callable[[], Producer]) -> None:
        self._new_producer = new_producer
        self._producer: Producer | None = None
        self._closing = threading.Event()

    def run(self, name: str, attempt: Callable[[], T]) -> T:
        """Make an attempt in our turn, and again for as long as others come between.

        Whether a commit that failed was made all the same is not guessed: the attempt reads the log's end first.

        Args:
            name: What is attempted on, for logs and for people.
            attempt: Reads the log to its end, and commits what it wants.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away, or refuses; what was to be written may have been.
        """
        waiting = _Waiting(name, self._closing)
        while True:
            try:
                self._take()
                return attempt()
            except KafkaException as failure:
                self.let_go()
                waiting.wait_for_next(failure)

    def take_anew(self) -> None:
        """Take the turn although we believe that we have it.

        Raises:
            KafkaException: Somebody else was faster, or the broker is away.
        """
        self.let_go()
        self._take()

    def begin(self) -> Producer:
        """Begin a transaction, and return what to write with.

        Raises:
            KafkaException: We do not have the turn.
        """
        if self._producer is None:
            raise KafkaException(KafkaError(KafkaError._FENCED))  # noqa: SLF001 - librdkafka's own error is named so
        self._producer.begin_transaction()
        return self._producer

    def commit(self, producer: Producer) -> None:
        """End the transaction.

        Raises:
            KafkaException: It was not made, or its end is not known.
        """
        _until_done(lambda: producer.commit_transaction(_CALL_SECONDS))

    def close(self) -> None:
        """Have nobody wait for a turn any longer; it stays free for whoever wants it. From any thread."""
        self._closing.set()

    def let_go(self) -> None:
        """Let go of the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            retire(producer)

    def _take(self) -> None:
        if self._producer is not None:
            return
        producer = self._new_producer()
        _until_done(lambda: producer.init_transactions(_CALL_SECONDS))
        self._producer = producer


def _until_done(call: Callable[[], None]) -> None:
    """Make a call again for as long as the broker says that this may help, and not for ever.

    Raises:
        KafkaException: Another has the turn, the broker refused, or was away for too long.
    """
    deadline = time.monotonic() + _CALL_SECONDS
    while True:
        try:
            return call()
        except KafkaException as failure:
            if not failure.args[0].retriable() or time.monotonic() > deadline:
                raise


class _Waiting:
    """How often, and for how long, one change tries to get a turn."""

    def __init__(self, name: str, closing: threading.Event) -> None:
        self._name = name
        self._closing = closing
        self._lost = 0
        self._deadline = time.monotonic() + _PATIENCE_SECONDS

    def wait_for_next(self, failure: KafkaException) -> None:
        """Let the others finish; longer and longer, and never as long as others that wait.

        Raises:
            ConflictError: It took too long, and others had the turn.
            UnavailableError: It took too long, or never will succeed, because of the broker.
        """
        error = failure.args[0]
        self._lost += 1
        _log.info("writer_turn_lost", subject=self._name, times=self._lost, code=error.name())
        if error.code() in REFUSALS or time.monotonic() > self._deadline:
            if error.code() in _FENCED:
                raise ConflictError(f"Other writers came before the change of {self._name} again and again; try again.")
            raise UnavailableError(
                f"The broker did not take the change of {self._name}: {error.str()}. It may have been made."
            ) from failure
        longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**self._lost)
        if self._closing.wait(random.uniform(0, longest)):  # noqa: S311 - no secret
            raise UnavailableError(f"Stopped before {self._name} could be changed.")
