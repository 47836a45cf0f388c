"""A catalogue as a release: the file as its author wrote it, announced and fetched like any model."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING

from models.catalogue import load_catalogue
from models.release import CATALOGUE, Manifest, Provenance, make_release

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE_FILE = "catalogue.yaml"


def make_catalogue_release(folder: Path, source: Path) -> Manifest:
    """Write a release of a catalogue.

    Args:
        folder: Where it is to lie.
        source: The catalogue's file.

    Raises:
        InvalidCatalogueError: Every fault of the file at once.
    """
    catalogue = load_catalogue(source)

    def write(made: Path) -> Provenance:
        shutil.copyfile(source, made / CATALOGUE_FILE)
        return Provenance(catalogue=catalogue.digest, code=version("intentstream"))

    return make_release(folder, write, model=CATALOGUE)
