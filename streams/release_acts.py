"""What people do with releases: see which there are, have one served, take that back; none that could not serve."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from confluent_kafka import Consumer, Producer

from flags.clients import reader_config, writer_config
from models.catalogue import default_catalogue_path, load_catalogue
from models.catalogue_release import CATALOGUE_FILE
from models.distilbert import LABELS_FILE, check_labels
from models.prediction import TierUnavailableError
from models.release import CATALOGUE, DISTILBERT, ZERO_SHOT
from models.store import fetch_file
from models.zero_shot_release import MADE_FOR_FILE, check_made_for
from schemas.errors import IntentStreamError
from streams.clients import client_config
from streams.release_log import TrialError
from streams.release_writer import ReleaseWriter, previous_of
from streams.topics import MODELS

if TYPE_CHECKING:
    from models.catalogue import Catalogue
    from models.release import Manifest
    from schemas.events import ModelRelease
    from schemas.settings import Settings
    from streams.release_log import ReleaseLog


class MismatchedReleaseError(IntentStreamError):
    """A fine-tuned model and a catalogue that do not go together; one must be made anew. Nothing was written."""

    code = "mismatched_release"
    http_status = 422
    exit_code = 65


class ReleaseActs:
    """Reads and writes the releases' log that the settings lead to. Blocking; any thread may call it.

    Every act may raise `UnavailableError` (the broker is away; what was to be written may have been) and
    `ConflictError` (others wrote again and again).

    Args:
        settings: Of the broker, and of the catalogue that is served where none was announced.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        client = client_config(settings)
        self._writer = ReleaseWriter(
            new_producer=lambda: Producer(writer_config(client, settings.worker.group_id, purpose="models-writer")),
            new_consumer=lambda: Consumer(reader_config(client)),
            topic=MODELS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the broker."""
        self._writer.close()

    def read(self) -> ReleaseLog:
        """Return the log, folded to its end."""
        return self._writer.read()

    def announce(self, location: str, sha256: str, manifest: Manifest, *, by: str, reason: str) -> ModelRelease:
        """Say that a release is there to be served.

        Args:
            location: Where it was pushed to.
            sha256: Of its manifest.
            manifest: It.
            by: Who says so.
            reason: Why.
        """
        return self._writer.announce(location, sha256, manifest, by=by, reason=reason)

    def promote(self, model: str, release: str, *, by: str, reason: str) -> ModelRelease:
        """Have every worker serve a release that was pushed.

        Raises:
            UnknownReleaseError: It was never pushed.
            MismatchedReleaseError: It tells other intents apart than the catalogue that serves.
            IntentStreamError: It cannot be fetched.
        """
        log = self.read()
        self._check(log, log.find(model, release))
        return self._writer.promote(model, release, by=by, reason=reason)

    def shadow(self, model: str, release: str, *, by: str, reason: str) -> ModelRelease:
        """Have every worker try a release that was pushed beside what serves.

        Raises:
            UnknownReleaseError: It was never pushed.
            TrialError: It is a catalogue, it serves, or another is tried.
            MismatchedReleaseError: It tells other intents apart than the catalogue that serves.
            IntentStreamError: It cannot be fetched.
        """
        if model == CATALOGUE:
            raise TrialError("A catalogue is not tried beside another: what it answers is in other words.")
        log = self.read()
        self._check(log, log.find(model, release))
        return self._writer.begin_trial(model, release, by=by, reason=reason)

    def roll_out(self, model: str, release: str, *, by: str, reason: str) -> ModelRelease:
        """Have the release that is tried answer those who have its flag.

        Raises:
            TrialError: It is not tried any more.
        """
        return self._writer.roll_out(model, release, by=by, reason=reason)

    def withdraw(self, model: str, release: str, *, by: str, reason: str) -> ModelRelease:
        """End a release's trial: what serves goes on serving everybody.

        Raises:
            UnknownReleaseError: It was never pushed.
            TrialError: It was never tried.
        """
        return self._writer.withdraw(model, release, by=by, reason=reason)

    def roll_back(self, model: str, *, by: str, reason: str) -> ModelRelease:
        """Have every worker serve again what served before; while a release is tried, end that and no more.

        Raises:
            UnknownReleaseError: Nothing did.
            MismatchedReleaseError: It tells other intents apart than the catalogue that serves.
            IntentStreamError: It cannot be fetched.
        """
        log = self.read()
        if log.trial is None or log.trial.name != model:
            self._check(log, log.find(model, previous_of(log, model)[0]))
        return self._writer.roll_back(model, by=by, reason=reason)

    def left_out(self, record: ModelRelease) -> str | None:
        """Return the fine-tuned release that is to serve and cannot with what was just written, if there is one."""
        if record.name != CATALOGUE or record.state != "serving":
            return None
        tuned = self.read().serving.get(DISTILBERT)
        if tuned is None or _misfit(tuned, _catalogue_of(record)) is None:
            return None
        return tuned.release

    def _check(self, log: ReleaseLog, record: ModelRelease) -> None:
        """Return if workers could serve a release: it can be fetched, and a fine-tuned one fits the catalogue."""
        if record.name == CATALOGUE:
            _catalogue_of(record)
            return
        announced = log.serving.get(CATALOGUE)
        catalogue = _catalogue_of(announced) if announced else self._own_catalogue()
        fault = _misfit(record, catalogue)
        if fault is not None:
            raise MismatchedReleaseError(
                f"The release {record.release} does not go with the catalogue {catalogue.name} that serves: {fault}. "
                "Push and promote the catalogue that it was trained for first."
            )

    def _own_catalogue(self) -> Catalogue:
        return load_catalogue(self._settings.models.catalogue or default_catalogue_path())


def _misfit(record: ModelRelease, catalogue: Catalogue) -> str | None:
    try:
        if record.name == ZERO_SHOT:
            check_made_for(fetch_file(record.location, record.sha256, MADE_FOR_FILE), catalogue.digest)
        else:
            check_labels(fetch_file(record.location, record.sha256, LABELS_FILE), catalogue.labels)
    except TierUnavailableError as error:
        return str(error)
    return None


def _catalogue_of(record: ModelRelease) -> Catalogue:
    content = fetch_file(record.location, record.sha256, CATALOGUE_FILE)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / CATALOGUE_FILE
        file.write_bytes(content)
        return load_catalogue(file)
