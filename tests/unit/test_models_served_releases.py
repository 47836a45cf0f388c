"""What served before the restart serves after it, as far as it is still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.catalogue import default_catalogue_path, load_catalogue
from models.catalogue_release import CATALOGUE_FILE, make_catalogue_release
from models.preparation import NOTHING_ANNOUNCED, Announced, Preparation
from models.release import CATALOGUE, DISTILBERT, Provenance, make_release
from models.served_releases import Installed, ServedReleases
from models.store import fetch_release, push_release
from schemas.events import ModelRelease
from schemas.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

OWN = load_catalogue(default_catalogue_path())
SHOP = "name: shop\nintents:\n- {name: hello, examples: [hi]}\n- {name: bye, examples: [so long]}\n"


def installed(folder: Path, made: Path) -> Installed:
    """Push a release and fetch it into the folder of a worker's models."""
    location, sha256, manifest = push_release(made, str(folder.parent / "store"))
    record = ModelRelease(
        name=manifest.model, release=sha256[:12], location=location, sha256=sha256, released_at="2026-11-23T09:00:00Z"
    )
    return Installed(record, fetch_release(location, sha256, folder / "releases", max_bytes=1 << 20))


def catalogue(folder: Path) -> Installed:
    source = folder.parent / "shop.yaml"
    source.write_text(SHOP)
    make_catalogue_release(folder.parent / "catalogue", source)
    return installed(folder, folder.parent / "catalogue")


def tuned(folder: Path) -> Installed:
    def write(made: Path) -> Provenance:
        (made / "labels.json").write_text("{}")
        return Provenance(catalogue="c", code="1")

    make_release(folder.parent / "tuned", write)
    return installed(folder, folder.parent / "tuned")


def test_it_is_known_again_after_a_restart(tmp_path: Path) -> None:
    models = tmp_path / "models"
    serving = {CATALOGUE: catalogue(models), DISTILBERT: tuned(models)}
    ServedReleases(models, OWN).keep(OWN, serving)
    again = ServedReleases(models, OWN)
    assert again.installed == serving
    assert again.catalogue.labels == ("hello", "bye")
    assert again.announced == Announced(
        catalogue=serving[CATALOGUE].record.release, distilbert=serving[DISTILBERT].folder
    )


def test_what_is_gone_or_another_is_forgotten(tmp_path: Path) -> None:
    models = tmp_path / "models"
    serving = {CATALOGUE: catalogue(models), DISTILBERT: tuned(models)}
    ServedReleases(models, OWN).keep(OWN, serving)
    (serving[DISTILBERT].folder / "manifest.json").write_text("{}")
    (serving[CATALOGUE].folder / CATALOGUE_FILE).write_text("name: nothing\n")
    again = ServedReleases(models, OWN)
    assert (again.installed, again.catalogue) == ({}, OWN)


def test_a_file_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "serving.json").write_text("[" * 50_000)
    again = ServedReleases(tmp_path, OWN)
    assert (again.installed, again.announced) == ({}, NOTHING_ANNOUNCED)


def test_the_name_of_what_serves_names_the_releases_in_it(tmp_path: Path) -> None:
    models = tmp_path / "models"
    there = tuned(models)
    settings = Settings(state_folder=tmp_path)
    alone = Preparation(settings, OWN).release
    together = Preparation(settings, OWN, Announced(catalogue="0123456789ab", distilbert=there.folder)).release
    assert together == f"{alone}+catalogue.0123456789ab+distilbert.{there.record.release}"
