"""A release is whole or it is not served, and a new one takes the place of the old at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.release import MANIFEST_FILE, DamagedReleaseError, Provenance, make_release, read_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROVENANCE = Provenance(
    base="minilm", catalogue="c0", corpus="d0", recipe={"epochs": 1}, seed=7, code="1.0", metrics={"accuracy": 0.9}
)


def writing(**contents: str) -> Callable[[Path], Provenance]:
    def write(folder: Path) -> Provenance:
        for name, content in contents.items():
            (folder / f"{name}.json").write_text(content)
        return PROVENANCE

    return write


def test_its_manifest_says_where_it_came_from(tmp_path: Path) -> None:
    made = make_release(tmp_path / "release", writing(model="weights", labels="names"))
    read = read_release(tmp_path / "release")
    assert read == made
    assert read.provenance == PROVENANCE
    assert sorted(read.files) == ["labels.json", "model.json"]


def test_a_new_one_replaces_the_old_with_all_its_files(tmp_path: Path) -> None:
    make_release(tmp_path / "release", writing(model="old", lexical="gone"))
    make_release(tmp_path / "release", writing(model="new"))
    assert (tmp_path / "release" / "model.json").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["release"]
    assert sorted(entry.name for entry in (tmp_path / "release").iterdir()) == [MANIFEST_FILE, "model.json"]


def test_one_that_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    make_release(tmp_path / "release", writing(model="old"))

    def fail(folder: Path) -> Provenance:
        (folder / "model.json").write_text("half")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        make_release(tmp_path / "release", fail)
    assert (tmp_path / "release" / "model.json").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["release"]


def test_a_file_that_was_changed_or_lost_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    make_release(folder, writing(model="weights", labels="names", lexical="words"))
    (folder / "model.json").write_text("other weights")
    (folder / "labels.json").unlink()
    with pytest.raises(DamagedReleaseError, match=r"damaged: labels\.json, model\.json$"):
        read_release(folder)


@pytest.mark.parametrize("content", [None, "", "{}", '{"files": {}}'])
def test_without_a_manifest_it_is_no_release(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / MANIFEST_FILE).write_text(content)
    with pytest.raises(DamagedReleaseError, match="is no release"):
        read_release(tmp_path)
