"""A folder of labelled texts joins what the catalogue says; what judges is never learnt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.catalogue import Catalogue, Intent
from models.training.corpus import InvalidCorpusError, read_corpus

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = Catalogue(
    name="shop",
    intents=(
        Intent(name="order_status", examples=("where is my parcel",)),
        Intent(name="refund", examples=("i want my money back",)),
    ),
)
ORDER, REFUND, BEYOND = 0, 1, 2


def write(file: Path, *lines: tuple[str, str | None]) -> None:
    file.write_text("\n".join(json.dumps({"text": text, "intent": intent}) for text, intent in lines))


def many(intent: str | None, count: int) -> list[tuple[str, str | None]]:
    return [(f"{intent} number {number}", intent) for number in range(count)]


def test_the_catalogues_examples_are_learnt_with_the_folders_texts(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ("Has it  been SENT?", "order_status"))
    write(tmp_path / "val.jsonl", ("money please", "refund"))
    train = read_corpus(CATALOGUE, tmp_path).train
    learnt = dict(zip(train.texts, train.truth.tolist(), strict=True))
    assert learnt["has it been sent?"] == ORDER
    assert learnt["i want my money back"] == REFUND
    assert train.classes == 3


def test_a_null_intent_and_the_files_named_so_are_out_of_scope(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ("who are you", None))
    write(tmp_path / "oos_train.jsonl", ("how tall is it", None))
    write(tmp_path / "val.jsonl", ("money please", "refund"))
    write(tmp_path / "oos_test.jsonl", ("what time is it", None))
    corpus = read_corpus(CATALOGUE, tmp_path)
    assert np.count_nonzero(corpus.train.truth == BEYOND) == 2
    assert corpus.test is not None
    assert corpus.test.truth.tolist() == [BEYOND]


def test_without_a_val_file_a_tenth_of_each_intent_is_held_out_and_not_learnt(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", *many("order_status", 48), *many("refund", 18))
    corpus = read_corpus(CATALOGUE, tmp_path)
    assert np.bincount(corpus.validation.truth).tolist() == [5, 2]
    assert not {*corpus.validation.texts} & {*corpus.train.texts}
    assert read_corpus(CATALOGUE, tmp_path).validation.texts == corpus.validation.texts


def test_the_same_texts_are_held_out_in_whatever_order_they_come(tmp_path: Path) -> None:
    lines = [*many("order_status", 48), *many("refund", 18)]
    write(tmp_path / "train.jsonl", *lines)
    held_out = set(read_corpus(CATALOGUE, tmp_path).validation.texts)
    write(tmp_path / "train.jsonl", *lines[::-1])
    assert set(read_corpus(CATALOGUE, tmp_path).validation.texts) == held_out


def test_what_it_is_judged_by_is_not_learnt_though_the_catalogue_says_it(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", *many("refund", 3))
    write(tmp_path / "val.jsonl", ("Where is my parcel", "order_status"))
    write(tmp_path / "test.jsonl", ("i want my money back", "refund"))
    learnt = read_corpus(CATALOGUE, tmp_path).train.texts
    assert "where is my parcel" not in learnt
    assert "i want my money back" not in learnt


def test_the_digest_is_the_contents(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", *many("refund", 5))
    before = read_corpus(CATALOGUE, tmp_path).digest
    assert read_corpus(CATALOGUE, tmp_path).digest == before
    write(tmp_path / "train.jsonl", *many("refund", 6))
    assert read_corpus(CATALOGUE, tmp_path).digest != before


def test_every_line_that_cannot_be_learnt_from_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "hi", "intent": "greeting"}\n\nnonsense\n{"text": 7}')
    with pytest.raises(InvalidCorpusError) as refused:
        read_corpus(CATALOGUE, tmp_path)
    first, second, third = str(refused.value).splitlines()
    assert first.endswith("train.jsonl:1: the catalogue has no intent `greeting`; add it there")
    assert "train.jsonl:3: " in second
    assert "train.jsonl:4: " in third


def test_of_many_faults_twenty_are_named_and_the_others_counted(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", *many("greeting", 25))
    with pytest.raises(InvalidCorpusError) as refused:
        read_corpus(CATALOGUE, tmp_path)
    assert len(str(refused.value).splitlines()) == 21
    assert str(refused.value).endswith("and 5 more")


def test_a_folder_without_texts_to_learn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpusError, match=r"no train\.jsonl"):
        read_corpus(CATALOGUE, tmp_path)


def test_too_few_texts_to_hold_any_out_are_refused() -> None:
    with pytest.raises(InvalidCorpusError, match="too few"):
        read_corpus(CATALOGUE, None)
