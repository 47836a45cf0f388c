"""The snapshot on disk is whole or not believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flags.last_known import load_last_known, save_last_known
from schemas.events import FlagChange

if TYPE_CHECKING:
    from pathlib import Path

CHANGES = {
    "caching": FlagChange(name="caching", enabled=False, revision=4, changed_by="test", changed_at="now"),
}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "flags.json"
    save_last_known(file, CHANGES, 4)
    known = load_last_known(file)
    assert known is not None
    assert (known.revision, known.changes) == (4, tuple(CHANGES.values()))
    assert [each.name for each in file.parent.iterdir()] == ["flags.json"]


def test_nothing_saved_nothing_is_known(tmp_path: Path) -> None:
    assert load_last_known(tmp_path / "flags.json") is None


@pytest.mark.parametrize(
    ("old", "new"), [(b'"enabled":false', b'"enabled":true'), (b"}", b""), (b'"format":1', b'"format":2')]
)
def test_a_file_that_somebody_touched_is_not_believed(tmp_path: Path, old: bytes, new: bytes) -> None:
    file = tmp_path / "flags.json"
    save_last_known(file, CHANGES, 4)
    assert old in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(old, new))
    assert load_last_known(file) is None
