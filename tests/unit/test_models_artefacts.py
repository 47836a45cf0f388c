"""A prepared folder is whole or not there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from models.artefacts import prepared, whole

if TYPE_CHECKING:
    from pathlib import Path


def make(folder: Path) -> None:
    (folder / "weights").write_bytes(b"12345")


def refuse(folder: Path) -> None:
    raise AssertionError(folder)


def test_it_is_made_once(tmp_path: Path) -> None:
    first = prepared(tmp_path, "thing-1", make)
    assert prepared(tmp_path, "thing-1", refuse) == first
    assert (first / "weights").read_bytes() == b"12345"


@pytest.mark.parametrize("damage", [b"12346", b"", None])
def test_a_damaged_one_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    file = prepared(tmp_path, "thing-1", make) / "weights"
    file.unlink() if damage is None else file.write_bytes(damage)
    assert not whole(file.parent)
    assert (prepared(tmp_path, "thing-1", make) / "weights").read_bytes() == b"12345"


def test_what_could_not_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        prepared(tmp_path, "thing-1", refuse)
    assert list(tmp_path.iterdir()) == []


def test_made_by_two_at_once_there_is_one_and_it_is_whole(tmp_path: Path) -> None:
    both = Barrier(2)

    def make_together(folder: Path) -> None:
        make(folder)
        both.wait(30)

    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(prepared, tmp_path, "thing-1", make_together) for _ in range(2)]
        first, second = (call.result() for call in calls)
    assert first == second
    assert whole(first)
    assert [folder.name for folder in tmp_path.iterdir()] == ["thing-1"]
