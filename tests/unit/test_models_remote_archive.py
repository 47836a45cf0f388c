"""An archive for TorchServe holds a release and what runs it, and the handler spoils nobody's answer for another's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from models.prediction import TierUnavailableError
from models.remote.archive import write_archive
from models.remote.torchserve_handler import IntentHandler
from tests.kit.word_release import write_release

LABELS = ["refund", None, "greeting"]
THERE = sys.stdlib_module_names | {"models", "numpy", "onnxruntime", "tokenizers"}
"""What its code may import: Python's own, its own, and what whoever runs TorchServe is told to install."""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    write_release(folder, LABELS)
    return folder


def test_the_same_release_makes_the_same_archive(release: Path, tmp_path: Path) -> None:
    archives = [tmp_path / f"{number}.mar" for number in range(2)]
    for archive in archives:
        write_archive(release, archive)
    first, second = (archive.read_bytes() for archive in archives)
    assert first == second


def test_it_names_model_version_and_handler(release: Path, tmp_path: Path) -> None:
    write_archive(release, tmp_path / "shop.mar", model="shop", model_version="3.1")
    with zipfile.ZipFile(tmp_path / "shop.mar") as archive:
        told = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]
        assert told == {"modelName": "shop", "modelVersion": "3.1", "handler": "torchserve_handler.py"}
        assert told["handler"] in archive.namelist()
        assert not [name for name in archive.namelist() if name.endswith((".pkl", ".pt", ".bin", ".pth"))]


def test_its_code_runs_from_the_archive_alone(release: Path, tmp_path: Path) -> None:
    write_archive(release, tmp_path / "model.mar")
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "model.mar") as archive:
        archive.extractall(unpacked)
    program = (
        "import sys, torchserve_handler; print(torchserve_handler.__file__);"
        "print([name for name in sys.modules if name.split('.')[0] in ('schemas', 'structlog', 'msgspec')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=unpacked, check=True, capture_output=True, text=True, timeout=60
    )
    where, imported = done.stdout.splitlines()
    assert Path(where).parent == unpacked
    assert imported == "[]"


def test_its_code_imports_nothing_that_a_model_server_may_lack(release: Path, tmp_path: Path) -> None:
    write_archive(release, tmp_path / "shop.mar")
    with zipfile.ZipFile(tmp_path / "shop.mar") as archive:
        codes = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")]
    imported = {name.partition(".")[0] for code in codes for name in re.findall(r"(?m)^(?:from|import) (\S+)", code)}
    assert "onnxruntime" in imported
    assert imported <= THERE


def test_a_folder_that_is_no_release_is_refused_and_leaves_nothing(release: Path, tmp_path: Path) -> None:
    (release / "tokenizer.json").unlink()
    made = tmp_path / "made"
    made.mkdir()
    with pytest.raises(TierUnavailableError, match=r"it has no tokenizer\.json"):
        write_archive(release, made / "model.mar")
    assert list(made.iterdir()) == []


class Context:
    """What TorchServe hands a handler."""

    def __init__(self, folder: Path) -> None:
        self.system_properties = {"model_dir": str(folder)}
        self.statuses: dict[int, int] = {}

    def set_response_status(self, *, code: int, idx: int) -> None:
        self.statuses[idx] = code


def handled(release: Path, *bodies: object) -> tuple[list[dict[str, Any]], dict[int, int]]:
    unpacked = release.parent / "unpacked"
    write_archive(release, release.parent / "model.mar")
    with zipfile.ZipFile(release.parent / "model.mar") as archive:
        archive.extractall(unpacked)
    context = Context(unpacked)
    handler = IntentHandler()
    handler.initialize(context)
    answers = handler.handle([{"body": body} for body in bodies], context)
    return [json.loads(answer) for answer in answers], context.statuses


def test_requests_that_come_together_are_answered_each_with_its_own(release: Path) -> None:
    answers, statuses = handled(release, {"texts": ["hello"]}, {"texts": ["riddle", "refund"]})
    assert [answer["logits"] for answer in answers] == [[[5, 0, 0]], [[0, 0, 5], [0, 5, 0]]]
    assert statuses == {}


@pytest.mark.parametrize("bad", [{}, [], None, "no json", b"\xff", {"texts": "hello"}, {"texts": [1]}])
def test_a_request_that_is_none_is_refused_and_the_others_answered(release: Path, bad: object) -> None:
    answers, statuses = handled(release, {"texts": ["hello"]}, bad, b'{"texts": ["refund"]}')
    assert [answer.get("logits") for answer in answers] == [[[5, 0, 0]], None, [[0, 5, 0]]]
    assert statuses == {1: 400}


def test_no_texts_are_answered_with_what_the_logits_stand_for(release: Path) -> None:
    [told], _ = handled(release, {"texts": []})
    assert (told["labels"], told["temperature"]) == (LABELS, 1.0)
    assert told["release"]
