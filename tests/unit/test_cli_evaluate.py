"""`intentstream evaluate` on a folder nobody tuned anything to: numbers for a program, a page for a person."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from infra.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAID = {
    "refund": ("give me my money back", "i want a refund", "return what i paid"),
    "order_status": ("where is my parcel", "track my order", "when does my package come"),
    "reset_password": ("i forgot my password", "i cannot log in", "reset my login"),
    "opening_hours": ("when do you open", "are you open on sunday", "what are your hours"),
    "change_address": ("i moved house", "change my address", "send it to another street"),
    "cancel_order": ("cancel my order", "i do not want it any more", "stop the delivery"),
    "complaint": ("this is terrible service", "i am very angry", "i want to complain"),
    "greeting": ("hello there", "good morning", "hi how are you"),
}
BEFORE = ("", "please ", "excuse me ", "quickly ")
AFTER = ("", " today", " if you can", " thanks")
OUTSIDE = ("sing me a song", "who won the match", "what is two plus two", "tell me about the moon")
EXPECTED = {
    "in_scope_accuracy",
    "oos_auroc",
    "oos_recall",
    "calibration_error",
    "coverage_at_99",
    "utterances_per_second",
}


def write(file: Path, records: list[dict[str, str | None]]) -> None:
    file.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop <data>")
    ways = list(product(BEFORE, AFTER))
    for name, some in (("train", ways[::2]), ("test", ways[1::2])):
        said: list[dict[str, str | None]] = [
            {"text": f"{before}{text}{after}", "intent": intent}
            for before, after in some
            for intent, texts in SAID.items()
            for text in texts
        ]
        write(folder / f"{name}.jsonl", said)
    write(folder / "oos_test.jsonl", [{"text": text, "intent": None} for text in OUTSIDE])
    return folder


@pytest.fixture(scope="module", autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTENTSTREAM_STATE_FOLDER", str(tmp_path_factory.mktemp("state")))
        yield


def report_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["evaluate", *arguments, "--json"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    report: dict[str, Any] = json.loads(line)
    return report


def test_a_folder_is_learnt_and_measured_under_the_published_names(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    report = report_of(capsys, "--data", str(folder), "--html", str(page))
    measures = report["measures"]
    assert report["report"] == "evaluate"
    assert measures.keys() >= EXPECTED
    assert measures["in_scope_accuracy"] > 0.9
    assert sum(share for name, share in measures.items() if name.endswith("_share")) == pytest.approx(1)
    assert any("No val.jsonl" in note for note in report["notes"])
    html = page.read_text("utf-8")
    assert html.count("<svg") >= 2
    assert "shop &lt;data&gt;" in html
    assert not re.search(r"(src|href|url|@import)\s*[=(]|https?://", html)


def test_what_was_trained_once_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("models.training.lexical.train_lexical", refuse)
    monkeypatch.setattr("models.training.zero_shot.make_zero_shot", refuse)
    assert report_of(capsys, "--data", str(folder), "--strategy", "standard")["settings"]["strategy"] == "standard"


def test_names_alone_learn_from_texts_without_labels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(capsys, "--data", str(folder), "--shots", "0", "--strategy", "standard")
    assert report["measures"]["zero_shot_in_scope_accuracy"] > 0.6
    assert any("without their labels" in note for note in report["notes"])
    assert any("defaults" in note for note in report["notes"])


def test_a_folder_that_cannot_be_read_is_one_sentence_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test.jsonl").write_text("hello\n")
    assert run(["evaluate", "--data", str(tmp_path)]) == 65
    said = capsys.readouterr()
    assert "test.jsonl:1: " in said.err
    assert said.out == ""
