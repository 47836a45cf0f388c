"""A folder of labelled texts is read as it is, and what it lacks is made up for and said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from models.dataset import Labelled, load_data_set
from schemas.errors import InvalidDataSetError

if TYPE_CHECKING:
    from pathlib import Path

INTENTS = ("refund", "order_status", "greeting")


def write(folder: Path, name: str, records: list[tuple[str, str | None]]) -> None:
    lines = [json.dumps({"text": text, "intent": intent}) for text, intent in records]
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def texts(split: str, each: int) -> list[tuple[str, str | None]]:
    return [(f"{split} {intent} {number}", intent) for intent in INTENTS for number in range(each)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "train", texts("train", 20))
    write(tmp_path, "val", texts("val", 5))
    write(tmp_path, "test", texts("test", 5))
    return tmp_path


def test_a_whole_folder_is_taken_as_it_is(folder: Path) -> None:
    write(folder, "oos_train", [("sing me a song", None)])
    write(folder, "oos_test", [("who won the match", None)])
    data = load_data_set(folder)
    assert (len(data.train), len(data.test), data.folder) == (61, 16, folder)
    assert data.labels == tuple(sorted(INTENTS))
    assert data.catalogue().out_of_scope == ("sing me a song",)
    assert data.notes == ()


def test_texts_outside_files_for_them_may_be_out_of_scope_too(folder: Path) -> None:
    write(folder, "test", [*texts("test", 5), ("who won the match", None)])
    assert load_data_set(folder).test.intents.count(None) == 1


def test_without_a_test_file_a_share_of_each_intent_is_held_out(folder: Path) -> None:
    (folder / "test.jsonl").unlink()
    data = load_data_set(folder)
    assert not set(data.train.texts) & set(data.test.texts)
    assert [data.test.intents.count(intent) for intent in INTENTS] == [4, 4, 4]
    assert any("held out as test" in note for note in data.notes)
    assert data.folder is None
    assert load_data_set(folder) == data
    assert load_data_set(folder, seed=1).test != data.test


def test_without_a_training_file_the_names_are_what_there_is(folder: Path) -> None:
    (folder / "train.jsonl").unlink()
    data = load_data_set(folder)
    assert [intent.examples for intent in data.catalogue().intents] == [(), (), ()]
    assert any("names" in note for note in data.notes)


def test_without_a_validation_file_that_is_said(folder: Path) -> None:
    (folder / "val.jsonl").unlink()
    assert any("No val.jsonl" in note for note in load_data_set(folder).notes)


def test_a_few_examples_are_those_of_their_file_and_the_rest_is_traffic(folder: Path) -> None:
    few = texts("few", 2)
    write(folder, "train_2shot", few)
    data = load_data_set(folder, shots=2)
    assert data.train.texts == tuple(text for text, _ in few)
    assert set(data.unlabelled) == {text for text, _ in texts("train", 20)}
    assert data.folder is None


def test_a_few_examples_are_drawn_where_there_is_no_file_of_them(folder: Path) -> None:
    data = load_data_set(folder, shots=3)
    assert [data.train.intents.count(intent) for intent in INTENTS] == [3, 3, 3]
    assert load_data_set(folder, shots=3, seed=1).train != data.train


def test_no_examples_leave_the_names(folder: Path) -> None:
    data = load_data_set(folder, shots=0)
    assert (len(data.train), len(data.unlabelled)) == (0, 60)


def test_columns_put_what_is_unknown_out_of_scope() -> None:
    labelled = Labelled(texts=("a", "b", "c"), intents=("refund", None, "nowhere"))
    assert labelled.columns(INTENTS).tolist() == [0, 3, 3]


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataSetError, match="is no folder; name one"):
        load_data_set(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["val", "notes", "oos_test"])
def test_a_folder_with_nothing_to_learn_or_test_says_what_to_write(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, [("hello", "greeting")])
    with pytest.raises(InvalidDataSetError, match=r"neither train\.jsonl nor test\.jsonl"):
        load_data_set(tmp_path)


def test_one_intent_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    write(tmp_path, "test", [("hello", "greeting")] * 9)
    with pytest.raises(InvalidDataSetError, match="there must be two to tell apart"):
        load_data_set(tmp_path)


@pytest.mark.parametrize(
    "line",
    ["hello", '{"text": "hello"}', '{"text": 5, "intent": "greeting"}', '{"text": "  ", "intent": "greeting"}', "[]"],
)
def test_a_line_that_is_no_record_is_named(folder: Path, line: str) -> None:
    with (folder / "train.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InvalidDataSetError, match=r"train\.jsonl:61: "):
        load_data_set(folder)


def test_bytes_that_are_no_text_are_named_too(folder: Path) -> None:
    (folder / "test.jsonl").write_bytes(b'{"text": "caf\xe9", "intent": "greeting"}\n')
    with pytest.raises(InvalidDataSetError, match=r"test\.jsonl:1: "):
        load_data_set(folder)
