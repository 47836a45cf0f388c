"""What comes from a store is what was announced, or it does not come at all."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from models.artefacts import sha256_of
from models.release import MANIFEST_FILE, DamagedReleaseError, Provenance, make_release, read_release
from models.store import (
    InvalidLocationError,
    StoreUnavailableError,
    fetch_file,
    fetch_release,
    prune,
    push_release,
)

if TYPE_CHECKING:
    from pathlib import Path

ROOM = 1 << 20


def release(folder: Path, **contents: str) -> Path:
    def write(made: Path) -> Provenance:
        for name, content in (contents or {"labels": "names", "config": "shape"}).items():
            (made / f"{name}.json").write_text(content)
        return Provenance(catalogue="c", code="1")

    make_release(folder / "made", write)
    return folder / "made"


def announce(store: Path, manifest: dict[str, Any]) -> tuple[str, str]:
    """Write a manifest by hand; return where, and its digest."""
    store.mkdir(exist_ok=True)
    content = json.dumps(manifest).encode()
    (store / MANIFEST_FILE).write_bytes(content)
    return str(store), hashlib.sha256(content).hexdigest()


def manifest(**files: str) -> dict[str, Any]:
    return {"files": files, "provenance": {"catalogue": "c", "code": "1"}}


@pytest.mark.parametrize("kind", ["folder", "file", "memory"])
def test_what_was_pushed_is_fetched_wherever_it_lies(tmp_path: Path, kind: str) -> None:
    store = {
        "folder": str(tmp_path / "store"),
        "file": f"file://{tmp_path}/store",
        "memory": f"memory://{tmp_path.name}",
    }[kind]
    pushed = release(tmp_path)
    location, sha256, told = push_release(pushed, store)
    fetched = fetch_release(location, sha256, tmp_path / "fetched", max_bytes=ROOM)
    assert read_release(fetched) == told
    assert {file.name: file.read_bytes() for file in fetched.iterdir()} == {
        file.name: file.read_bytes() for file in pushed.iterdir()
    }
    assert fetch_file(location, sha256, "labels.json") == b"names"


def test_what_is_here_is_not_fetched_again_unless_it_was_damaged(tmp_path: Path) -> None:
    location, sha256, _ = push_release(release(tmp_path), str(tmp_path / "store"))
    fetched = fetch_release(location, sha256, tmp_path / "fetched", max_bytes=ROOM)
    assert fetch_release("file:///nowhere", sha256, tmp_path / "fetched", max_bytes=ROOM) == fetched
    (fetched / "labels.json").write_text("other names")
    fetch_release(location, sha256, tmp_path / "fetched", max_bytes=ROOM)
    assert (fetched / "labels.json").read_text() == "names"


@pytest.mark.parametrize("name", ["labels.json", MANIFEST_FILE])
def test_a_file_that_was_changed_in_the_store_is_found_out(tmp_path: Path, name: str) -> None:
    location, sha256, told = push_release(release(tmp_path), str(tmp_path / "store"))
    changed = tmp_path / "store" / told.model / sha256[:12] / name
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(DamagedReleaseError):
        fetch_release(location, sha256, tmp_path / "fetched", max_bytes=ROOM)
    assert list((tmp_path / "fetched").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["../labels.json", "/etc/labels.json", "a/b.json", "..", ".json", "model.pkl", "model.bin", MANIFEST_FILE, ""],
)
def test_no_file_of_a_release_is_named_so(tmp_path: Path, name: str) -> None:
    location, sha256 = announce(tmp_path / "store", manifest(**{name: "0" * 64}))
    with pytest.raises(DamagedReleaseError, match="no file of one may be listed"):
        fetch_release(location, sha256, tmp_path / "fetched", max_bytes=ROOM)


def test_a_release_larger_than_allowed_is_not_fetched_whole(tmp_path: Path) -> None:
    location, sha256, _ = push_release(release(tmp_path, a="x" * 600, b="x" * 600), str(tmp_path / "store"))
    fetch_release(location, sha256, tmp_path / "fetched", max_bytes=1_200)
    with pytest.raises(DamagedReleaseError, match="larger than the settings allow"):
        fetch_release(location, sha256, tmp_path / "again", max_bytes=1_199)
    assert list((tmp_path / "again").iterdir()) == []


def test_a_release_of_endless_files_is_none(tmp_path: Path) -> None:
    location, sha256 = announce(tmp_path / "store", manifest(**{f"{number}.json": "0" * 64 for number in range(65)}))
    with pytest.raises(DamagedReleaseError, match="has 65 files"):
        fetch_release(location, sha256, tmp_path / "fetched", max_bytes=ROOM)


def test_a_store_without_the_release_may_have_it_later(tmp_path: Path) -> None:
    location, sha256, told = push_release(release(tmp_path), str(tmp_path / "store"))
    hidden = tmp_path / "store" / told.model / sha256[:12]
    hidden.rename(tmp_path / "hidden")
    with pytest.raises(StoreUnavailableError, match="cannot be read: FileNotFoundError"):
        fetch_release(location, sha256, tmp_path / "fetched", max_bytes=ROOM)
    (tmp_path / "hidden").rename(hidden)
    fetch_release(location, sha256, tmp_path / "fetched", max_bytes=ROOM)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nothing://x", "Protocol not known"),
        ("s3://x", "needs a package"),
        ("simplecache::file:///x", "chains file systems"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_why(tmp_path: Path, url: str, why: str) -> None:
    with pytest.raises(InvalidLocationError, match=why):
        push_release(release(tmp_path), url)


def test_what_does_not_verify_is_not_pushed(tmp_path: Path) -> None:
    made = release(tmp_path)
    (made / "labels.json").write_text("other names")
    with pytest.raises(DamagedReleaseError, match=r"labels\.json"):
        push_release(made, str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


def test_pruning_leaves_what_is_kept_and_what_another_is_fetching(tmp_path: Path) -> None:
    location, sha256, _ = push_release(release(tmp_path), str(tmp_path / "store"))
    root = tmp_path / "fetched"
    kept = fetch_release(location, sha256, root, max_bytes=ROOM)
    for name in ("f" * 64, ".fetching-now", ".fetching-killed"):
        (root / name).mkdir()
    os.utime(root / ".fetching-killed", (0, 0))
    prune(root, kept.name.__eq__)
    assert {folder.name for folder in root.iterdir()} == {kept.name, ".fetching-now"}
    assert sha256_of(kept / MANIFEST_FILE) == sha256
