"""Finds what a release of the past was made of, and opens it again.

A result names its release in full: the catalogue, code and weights as one digest, then the announced releases in it.
Those that were pushed are fetched from their store; a digest that is not this installation's cannot be had again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer

from flags.clients import reader_config
from flags.log_reader import LogReader
from models.artefacts import sha256_of
from models.catalogue import default_catalogue_path, load_catalogue
from models.catalogue_release import CATALOGUE_FILE
from models.preparation import DISTILBERT_FOLDER, Announced, Preparation
from models.release import CATALOGUE, DISTILBERT, MANIFEST_FILE, ZERO_SHOT, release_name
from models.store import fetch_release
from schemas.errors import IntentStreamError
from streams.clients import client_config
from streams.release_log import InvalidReleaseRecordError, ReleaseLog
from streams.topics import MODELS

if TYPE_CHECKING:
    from pathlib import Path

    from models.catalogue import Catalogue
    from schemas.settings import Settings

SERVING = "serving"
"""The name of whatever is to serve now."""


class LostReleaseError(IntentStreamError):
    """A release that cannot be opened again here; the message says what it would take."""

    code = "lost_release"
    http_status = 404
    exit_code = 66


class Parts(NamedTuple):
    """The announced releases in one; None: the catalogue of the settings, no fine-tuned tier, no taught head."""

    catalogue: str | None = None
    distilbert: str | None = None
    zero_shot: str | None = None


class Opened(NamedTuple):
    """What a classifier is made of, and the full name of the release that it is."""

    name: str
    catalogue: Catalogue
    announced: Announced


def read_releases(settings: Settings) -> ReleaseLog:
    """Return the releases' log, folded to its end.

    Raises:
        UnavailableError: The broker is away.
    """
    consumer = Consumer(reader_config(client_config(settings)))
    try:
        reader, log = LogReader(consumer, MODELS), ReleaseLog()
        for record in reader.read(*reader.bounds()):
            try:
                log.apply(record.key, record.value)
            except InvalidReleaseRecordError:
                continue  # what is none changes nothing, here as in every worker
        return log
    finally:
        consumer.close()


class PastReleases:
    """The releases that this installation can open. Blocking, where it fetches.

    Args:
        settings: Of catalogue, models and stores.
        log: What was announced.
        scratch: A folder for what is fetched; whoever made it removes it.
    """

    def __init__(self, settings: Settings, log: ReleaseLog, scratch: Path) -> None:
        self._settings = settings
        self._log = log
        self._scratch = scratch
        self._installed = settings.state_folder / "models" / DISTILBERT_FOLDER

    def named(self, asked: str) -> Opened:
        """Return a release by what a person calls it.

        Args:
            asked: `serving`; what was pushed, which takes the place of what serves of its model; or a full name.

        Raises:
            LostReleaseError: There is none, or it cannot be opened here.
        """
        serving = self._serving()
        if asked == SERVING:
            return self._open(serving)
        pushed = next((record for record in self._log.pushed() if record.release == asked), None)
        if pushed is not None:
            return self._open(serving._replace(**{pushed.name: asked}))
        return self.opened(asked)

    def opened(self, name: str) -> Opened:
        """Return a release by the name that results have of it.

        Raises:
            LostReleaseError: It cannot be opened here.
        """
        opened = self._open(_parts(name))
        if opened.name != name:
            raise LostReleaseError(
                f"The release {name} cannot be opened here: with this catalogue, code and these weights it is "
                f"{opened.name}. Name one with --release, such as {SERVING}."
            )
        return opened

    def _serving(self) -> Parts:
        announced = {model: record.release for model, record in self._log.serving.items()}
        return Parts(
            announced.get(CATALOGUE), announced.get(DISTILBERT) or self._installed_name(), announced.get(ZERO_SHOT)
        )

    def _installed_name(self) -> str | None:
        """Return the name of the fine-tuned tier that was trained here, if one was."""
        manifest = self._installed / MANIFEST_FILE
        return release_name(sha256_of(manifest)) if manifest.is_file() else None

    def _open(self, parts: Parts) -> Opened:
        try:
            if parts.catalogue is None:
                file = self._settings.models.catalogue or default_catalogue_path()
            else:
                file = self._fetched(CATALOGUE, parts.catalogue) / CATALOGUE_FILE
            catalogue = load_catalogue(file)
            taught = self._fetched(ZERO_SHOT, parts.zero_shot) if parts.zero_shot else None
            announced = Announced(parts.catalogue, self._tuned(parts.distilbert), taught)
            return Opened(Preparation(self._settings, catalogue, announced).release, catalogue, announced)
        except LostReleaseError:
            raise
        except IntentStreamError as error:
            raise LostReleaseError(f"The release cannot be opened here: {error}") from error

    def _tuned(self, release: str | None) -> Path:
        if release is None:
            return self._scratch / "none"  # or the one that is installed here would join
        return self._installed if release == self._installed_name() else self._fetched(DISTILBERT, release)

    def _fetched(self, model: str, release: str) -> Path:
        record = self._log.find(model, release)
        most = self._settings.models.max_release_bytes
        return fetch_release(record.location, record.sha256, self._scratch, max_bytes=most)


def _parts(name: str) -> Parts:
    """Read a full name: `<digest>+catalogue.<release>+zero_shot.…+distilbert.…`, the latter where there are such."""
    _, *announced = name.split("+")
    releases = dict(each.split(".", 1) for each in announced if "." in each)
    return Parts(releases.get(CATALOGUE), releases.get(DISTILBERT), releases.get(ZERO_SHOT))
