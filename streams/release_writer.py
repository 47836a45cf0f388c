"""Announces releases, promotes them and takes them back: one record each, writers taking turns as those of flags do."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, Literal

import msgspec

from flags.log_reader import LogReader
from flags.turns import Turns
from models.release import release_name
from schemas.cloudevents import event_headers
from schemas.events import CE_TYPES, ModelRelease, Trial
from streams.release_log import (
    InvalidReleaseRecordError,
    ReleaseLog,
    TrialError,
    UnknownReleaseError,
    began_revision,
    key_of,
)
from streams.results import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Consumer, Producer

    from models.release import Manifest

_EVENT_TYPE = CE_TYPES[ModelRelease]
_REMEMBERED = 20
"""How far a model can be rolled back, one release at a time."""


class ReleaseWriter:
    """Writes to the releases' log. Any thread may call it; calls wait for each other.

    Args:
        new_producer: Makes a producer as `flags.clients.writer_config` configures it, for this log.
        new_consumer: Makes a consumer as `flags.clients.reader_config` configures it.
        topic: The log's.
    """

    def __init__(
        self, *, new_producer: Callable[[], Producer], new_consumer: Callable[[], Consumer], topic: str
    ) -> None:
        self._turns = Turns(new_producer)
        self._new_consumer = new_consumer
        self._topic = topic
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._last: ModelRelease | None = None

    def read(self) -> ReleaseLog:
        """Return the log, folded to its end. Takes no turn.

        Raises:
            UnavailableError: The broker is away.
        """
        with self._lock:
            return self._read_to_end(None)[0]

    def announce(self, location: str, sha256: str, manifest: Manifest, *, by: str, reason: str) -> ModelRelease:
        """Say that a release is there to be served.

        Args:
            location: Where it was pushed to.
            sha256: Of its manifest.
            manifest: It.
            by: Who says so.
            reason: Why.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away; it may have been announced all the same.
        """

        def candidate(_log: ReleaseLog) -> ModelRelease:
            return ModelRelease(
                name=manifest.model,
                release=release_name(sha256),
                location=location,
                sha256=sha256,
                metrics=manifest.provenance.metrics,
                released_at=timestamp(time.time()),
                state="candidate",
            )

        return self._write(f"the releases of {manifest.model}", candidate, by=by, reason=reason)

    def promote(self, model: str, release: str, *, by: str, reason: str) -> ModelRelease:
        """Have a release served that was announced; one that is served already is fetched anew where it is missing.

        Raises:
            UnknownReleaseError: It was never announced.
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away; it may have been promoted all the same.
        """

        def promoted(log: ReleaseLog) -> ModelRelease:
            before = log.serving.get(model)
            if before is None:
                previous: tuple[str, ...] = ()
            elif before.release == release:
                previous = before.previous
            else:
                previous = (before.release, *before.previous)[:_REMEMBERED]
            return msgspec.structs.replace(log.find(model, release), state="serving", previous=previous)

        return self._write(f"the serving {model}", promoted, by=by, reason=reason)

    def begin_trial(self, model: str, release: str, *, by: str, reason: str) -> ModelRelease:
        """Have a release that was announced tried beside those that serve: asked, and not heard.

        Raises:
            UnknownReleaseError: It was never announced.
            TrialError: It serves, or another is tried.
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away; it may have begun all the same.
        """

        def shadowed(log: ReleaseLog) -> ModelRelease:
            record, serving, tried = log.find(model, release), log.serving.get(model), log.trial
            if serving is not None and serving.release == release:
                raise TrialError(f"The release {release} of {model} serves; there is nothing to try it beside.")
            if tried is not None:
                raise TrialError(
                    f"The release {tried.release} of {tried.name} is tried already; one at a time. "
                    f"Promote it, or end that with `intentstream models rollback {tried.name}`."
                )
            return msgspec.structs.replace(
                record, trial=Trial(stage="shadow", began_at=timestamp(time.time()), began_by=by)
            )

        return self._write(f"the trial of {model}", shadowed, by=by, reason=reason)

    def roll_out(self, model: str, release: str, *, by: str, reason: str) -> ModelRelease:
        """Have the release that is tried answer those who have its flag.

        Raises:
            TrialError: It is not tried any more.
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away; it may have been written all the same.
        """

        def rolled_out(log: ReleaseLog) -> ModelRelease:
            tried = log.trial
            if tried is None or (tried.name, tried.release) != (model, release):
                raise TrialError(f"The release {release} of {model} is not tried any more.")
            return _at_stage(tried, "rollout")

        return self._write(f"the trial of {model}", rolled_out, by=by, reason=reason)

    def withdraw(self, model: str, release: str, *, by: str, reason: str) -> ModelRelease:
        """End a release's trial: what serves goes on serving everybody.

        Raises:
            UnknownReleaseError: It was never announced.
            TrialError: It was never tried.
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away; it may have ended all the same.
        """
        return self._write(
            f"the trial of {model}",
            lambda log: _at_stage(log.find(model, release), "withdrawn"),
            by=by,
            reason=reason,
        )

    def roll_back(self, model: str, *, by: str, reason: str) -> ModelRelease:
        """Have the release served that was served before this one; while one is tried, end that and no more.

        Raises:
            UnknownReleaseError: There was none before.
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away; it may have been rolled back all the same.
        """

        def rolled_back(log: ReleaseLog) -> ModelRelease:
            if log.trial is not None and log.trial.name == model:
                return _at_stage(log.trial, "withdrawn")
            release, *previous = previous_of(log, model)
            return msgspec.structs.replace(log.find(model, release), state="serving", previous=tuple(previous))

        return self._write(f"the serving {model}", rolled_back, by=by, reason=reason)

    def close(self) -> None:
        """Let go of the broker."""
        self._turns.close()
        with self._lock:
            self._turns.let_go()
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _write(self, what: str, make: Callable[[ReleaseLog], ModelRelease], *, by: str, reason: str) -> ModelRelease:
        """Write what is made of the log as it stands, in our turn."""
        attempted: ModelRelease | None = None

        def attempt() -> ModelRelease:
            nonlocal attempted
            log, made = self._read_to_end(attempted)
            if attempted is None or not made:
                attempted = msgspec.structs.replace(make(log), revision=log.revision + 1, changed_by=by, reason=reason)
                self._commit(attempted)
            return attempted

        with self._lock:
            return self._turns.run(what, attempt)

    def _commit(self, record: ModelRelease) -> None:
        producer = self._turns.begin()
        headers = event_headers(_EVENT_TYPE, str(uuid.uuid4()), timestamp(time.time()), None)
        producer.produce(self._topic, msgspec.json.encode(record), key_of(record), 0, headers=headers)  # type: ignore[arg-type]  # a list of pairs, as it wants
        self._turns.commit(producer)
        self._last = record

    def _read_to_end(self, looked_for: ModelRelease | None) -> tuple[ReleaseLog, bool]:
        """Return the log, and whether a record of ours stands in it whose commit may have failed."""
        if self._consumer is None:
            self._consumer = self._new_consumer()
        reader, log, found = LogReader(self._consumer, self._topic), ReleaseLog(), False
        for record in reader.read(*reader.bounds()):
            try:
                release = log.apply(record.key, record.value)
            except InvalidReleaseRecordError:
                continue  # what is none changes nothing, here as in every worker
            found = found or (release is not None and release == looked_for)
        if self._last is not None and self._last.revision > log.revision:
            # Ours, committed, and not to be read yet: the broker has still to write the transaction's end.
            log.apply(key_of(self._last), msgspec.json.encode(self._last))
        return log, found


def _at_stage(record: ModelRelease, stage: Literal["rollout", "withdrawn"]) -> ModelRelease:
    began = began_revision(record)
    if record.trial is None:  # which `began_revision` has refused
        return record
    return msgspec.structs.replace(
        record, trial=msgspec.structs.replace(record.trial, stage=stage, began_revision=began)
    )


def previous_of(log: ReleaseLog, model: str) -> tuple[str, ...]:
    """Return the releases that were served before the one that is, the latest first; at least one.

    Raises:
        UnknownReleaseError: There was none.
    """
    serving = log.serving.get(model)
    if serving is None or not serving.previous:
        raise UnknownReleaseError(f"No release of {model} was served before the one that is.")
    return serving.previous
