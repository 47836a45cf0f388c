"""A release of the past is opened again by its name, or it is said why that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest

from models.catalogue import default_catalogue_path, load_catalogue
from models.catalogue_release import make_catalogue_release
from models.preparation import Preparation
from models.release import CATALOGUE, DISTILBERT, Provenance, make_release
from models.store import push_release
from schemas.events import ModelRelease
from schemas.settings import Settings
from streams.release_log import ReleaseLog, key_of
from streams.replay.releases import LostReleaseError, PastReleases

if TYPE_CHECKING:
    from pathlib import Path

SHOP = "name: shop\nintents:\n- {name: hello, examples: [hi]}\n- {name: bye, examples: [so long]}\n"


class Shelf(NamedTuple):
    """What was announced, and who opens it."""

    settings: Settings
    log: ReleaseLog
    past: PastReleases

    def announce(self, made: Path, *, serving: bool = False) -> str:
        """Push a release, have it served if so wished, and return its name."""
        location, sha256, manifest = push_release(made, str(made.parent / "store"))
        record = ModelRelease(
            name=manifest.model,
            release=sha256[:12],
            location=location,
            sha256=sha256,
            released_at="2026-11-23T09:00:00Z",
            state="candidate",
        )
        for state in ("candidate", "serving") if serving else ("candidate",):
            written = msgspec.structs.replace(record, state=state)
            self.log.apply(key_of(written), msgspec.json.encode(written))
        return record.release


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "scratch").mkdir()
    settings, log = Settings(state_folder=tmp_path / "state"), ReleaseLog()
    return Shelf(settings, log, PastReleases(settings, log, tmp_path / "scratch"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A catalogue's release."""
    source = tmp_path / "shop.yaml"
    source.write_text(SHOP)
    make_catalogue_release(tmp_path / "shop", source)
    return tmp_path / "shop"


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    """A fine-tuned tier's release."""

    def write(made: Path) -> Provenance:
        (made / "labels.json").write_text("{}")
        return Provenance(catalogue="c", code="1")

    make_release(tmp_path / "tuned", write)
    return tmp_path / "tuned"


def test_without_any_announced_what_serves_is_what_the_settings_say(shelf: Shelf) -> None:
    own = load_catalogue(default_catalogue_path())
    opened = shelf.past.named("serving")
    assert opened.name == Preparation(shelf.settings, own).release
    assert opened.catalogue.digest == own.digest
    assert shelf.past.opened(opened.name) == opened


def test_what_was_pushed_takes_the_place_of_what_serves_of_its_model(shelf: Shelf, shop: Path, tuned: Path) -> None:
    model = shelf.announce(tuned, serving=True)
    catalogue = shelf.announce(shop)
    opened = shelf.past.named(catalogue)
    assert opened.catalogue.labels == ("hello", "bye")
    assert opened.name.endswith(f"+{CATALOGUE}.{catalogue}+{DISTILBERT}.{model}")
    assert shelf.past.opened(opened.name).catalogue.digest == opened.catalogue.digest
    assert shelf.past.named("serving").name.endswith(f"+{DISTILBERT}.{model}")


def test_a_tier_that_was_trained_here_joins_only_the_releases_that_name_it(shelf: Shelf, tuned: Path) -> None:
    without = shelf.past.named("serving").name
    (shelf.settings.state_folder / "models").mkdir(parents=True)
    tuned.rename(shelf.settings.state_folder / "models" / "distilbert")
    joined = shelf.past.named("serving")
    assert joined.name.startswith(f"{without}+{DISTILBERT}.")
    assert shelf.past.opened(joined.name).announced.distilbert == shelf.settings.state_folder / "models" / "distilbert"
    assert shelf.past.opened(without).name == without


def test_what_nobody_pushed_and_what_other_code_made_is_lost(shelf: Shelf) -> None:
    own = shelf.past.named("serving").name
    with pytest.raises(LostReleaseError, match="There is no release ba9876543210 of distilbert"):
        shelf.past.opened(f"{own}+{DISTILBERT}.ba9876543210")
    with pytest.raises(LostReleaseError, match=f"it is {own}"):
        shelf.past.opened("0123456789ab")


def test_a_store_that_is_away_is_named(shelf: Shelf, tuned: Path) -> None:
    own = shelf.past.named("serving").name
    release = shelf.announce(tuned)
    (tuned.parent / "store").rename(tuned.parent / "elsewhere")
    with pytest.raises(LostReleaseError, match="cannot be read"):
        shelf.past.opened(f"{own}+{DISTILBERT}.{release}")
