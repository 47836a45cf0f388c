"""`intentstream train` says in one sentence what it lacks."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.kit.command import run_command
from tests.kit.tiny_base import write_tiny_base

if TYPE_CHECKING:
    from pathlib import Path

UNAVAILABLE, BAD_INPUT = 69, 65


def test_without_torch_it_says_how_to_install_it(tmp_path: Path) -> None:
    if importlib.util.find_spec("torch"):
        pytest.skip("torch is installed here")
    refused = run_command("train", STATE_FOLDER=tmp_path)
    assert refused.returncode == UNAVAILABLE
    assert "uv sync --extra train" in refused.stderr.decode()
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.train
def test_a_text_with_an_intent_that_the_catalogue_lacks_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra `train`: `uv sync --extra train`")
    (tmp_path / "train.jsonl").write_text(json.dumps({"text": "hi", "intent": "no_such_intent"}))
    refused = run_command("train", "--data", str(tmp_path), STATE_FOLDER=tmp_path)
    assert refused.returncode == BAD_INPUT
    assert (
        refused.stderr.decode()
        .strip()
        .endswith("train.jsonl:1: the catalogue has no intent `no_such_intent`; add it there")
    )


@pytest.mark.train
def test_it_installs_a_release_and_says_what_it_is_worth(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra `train`: `uv sync --extra train`")
    base = tmp_path / "base"
    base.mkdir()
    begun = ("train", "--json", "--base", str(write_tiny_base(base)), "--epochs", "1", "--archive", "torchserve")
    done = run_command(*begun, STATE_FOLDER=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["release"] == str(tmp_path / "models" / "distilbert")
    assert 0 <= told["provenance"]["metrics"]["validation_accuracy"] <= 1
    assert "epoch 1" in done.stderr.decode()
    assert not list((tmp_path / "training").iterdir())
    with zipfile.ZipFile(told["archive"]) as archive:
        assert {"MAR-INF/MANIFEST.json", "model.onnx", "labels.json"} <= set(archive.namelist())
    assert told["archive"] == str(tmp_path / "models" / "distilbert.mar")
