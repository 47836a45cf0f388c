"""Which announced releases serve here, kept on disk: a worker that starts serves them before it has heard of any."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import structlog

from models.artefacts import sha256_of
from models.catalogue import load_catalogue
from models.catalogue_release import CATALOGUE_FILE
from models.prediction import TierUnavailableError
from models.preparation import Announced
from models.release import CATALOGUE, DISTILBERT, MANIFEST_FILE, ZERO_SHOT
from models.zero_shot_release import MADE_FOR_FILE, check_made_for
from schemas.errors import IntentStreamError
from schemas.events import ModelRelease

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from models.catalogue import Catalogue

_log = structlog.get_logger(__name__)

_FILE = "serving.json"
_FOLDER = "releases"

_Records = dict[str, ModelRelease]


class Installed(NamedTuple):
    """An announced release that is on this machine."""

    record: ModelRelease
    folder: Path


class ServedReleases:
    """What serves, of what was announced.

    Args:
        models: Folder of the prepared models; what was fetched lies beside them.
        own: The catalogue that the settings name.

    Attributes:
        root: Holds what was fetched, each in a folder named by its manifest's digest.
        installed: What serves, by model.
        catalogue: That serves.
    """

    def __init__(self, models: Path, own: Catalogue) -> None:
        self.root = models / _FOLDER
        self._file = models / _FILE
        self.installed: Mapping[str, Installed] = self._restored()
        self.catalogue = own
        if (announced := self.installed.get(CATALOGUE)) is not None:
            try:
                self.catalogue = load_catalogue(announced.folder / CATALOGUE_FILE)
            except (IntentStreamError, OSError) as error:
                self._leave_out(CATALOGUE, error)
        if (announced := self.installed.get(ZERO_SHOT)) is not None:
            try:
                check_made_for((announced.folder / MADE_FOR_FILE).read_bytes(), self.catalogue.digest)
            except (TierUnavailableError, OSError) as error:
                self._leave_out(ZERO_SHOT, error)

    @property
    def announced(self) -> Announced:
        """Return what a classifier is to be told of it."""
        return announced_of(self.installed)

    def keep(self, catalogue: Catalogue, installed: Mapping[str, Installed]) -> None:
        """Take note of what serves from now on.

        Raises:
            OSError: It cannot be kept; it serves all the same.
        """
        self.catalogue, self.installed = catalogue, dict(installed)
        content = msgspec.json.encode({name: each.record for name, each in installed.items()})
        self._file.parent.mkdir(parents=True, exist_ok=True)
        writing = self._file.with_name(f".{_FILE}.partial")
        writing.write_bytes(content)
        writing.replace(self._file)

    def _leave_out(self, model: str, error: Exception) -> None:
        _log.warning("release_not_restored", model=model, reason=str(error))
        self.installed = {name: each for name, each in self.installed.items() if name != model}

    def _restored(self) -> dict[str, Installed]:
        """Return what served here last and is still there; its files are held against the manifest when loaded."""
        records: _Records = {}
        with contextlib.suppress(OSError, msgspec.DecodeError):  # none yet, or one of another version
            records = msgspec.json.decode(self._file.read_bytes(), type=_Records)
        found = {name: Installed(record, self.root / record.sha256) for name, record in records.items()}
        return {name: each for name, each in found.items() if _is_manifest(each)}


def announced_of(installed: Mapping[str, Installed]) -> Announced:
    """Return what a classifier is to be told of releases."""
    return Announced(
        catalogue=installed[CATALOGUE].record.release if CATALOGUE in installed else None,
        distilbert=installed[DISTILBERT].folder if DISTILBERT in installed else None,
        zero_shot=installed[ZERO_SHOT].folder if ZERO_SHOT in installed else None,
    )


def _is_manifest(installed: Installed) -> bool:
    try:
        return sha256_of(installed.folder / MANIFEST_FILE) == installed.record.sha256
    except OSError:
        return False
