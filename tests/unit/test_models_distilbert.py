"""The fine-tuned tier serves a release whose labels are the catalogue's, and says why it serves no other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from models.distilbert import LABELS_FILE, MODEL_FILE, TOKENIZER_FILE, DistilbertModel
from models.prediction import TierUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

VOCABULARY = {"[UNK]": 0, "hello": 1, "refund": 2, "riddle": 3}


def write_release(folder: Path, labels: list[str | None]) -> None:
    """Write a release whose network gives each word of the vocabulary a logit of 5 for the label of its number."""
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / TOKENIZER_FILE))
    table = np.zeros((len(VOCABULARY), len(labels)), np.float32)
    for row in range(len(labels)):
        table[row + 1, row] = 5.0
    sizes = ["texts", "tokens"]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
            helper.make_node("Mul", ["rows", "column"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "tokens"], ["logits"], keepdims=0),
        ],
        "words",
        [helper.make_tensor_value_info(name, TensorProto.INT64, sizes) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", len(labels)])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([-1], np.int64), "last"),
            numpy_helper.from_array(np.array([1], np.int64), "tokens"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / MODEL_FILE)
    (folder / LABELS_FILE).write_text(json.dumps({"labels": labels, "temperature": 1.0}))


def test_its_labels_become_the_catalogues_columns(tmp_path: Path) -> None:
    write_release(tmp_path, ["refund", None, "greeting"])
    model = DistilbertModel(tmp_path, ("greeting", "refund"), threads=1)
    rows = model.predict(["hello", "refund", "a riddle for you"])
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    assert rows.argmax(axis=1).tolist() == [1, 2, 0]


def test_without_out_of_scope_among_its_labels_nothing_is(tmp_path: Path) -> None:
    write_release(tmp_path, ["greeting", "refund"])
    rows = DistilbertModel(tmp_path, ("greeting", "refund"), threads=1).predict(["hello"])
    assert rows[0, 0] > 0.9
    assert rows[0, 2] == 0


def test_without_a_release_it_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TierUnavailableError, match="no release"):
        DistilbertModel(tmp_path, ("greeting",), threads=1)


@pytest.mark.parametrize("labels", [("greeting",), ("greeting", "refund", "cancel"), ("greeting", "cancel")])
def test_another_catalogues_release_is_not_served(tmp_path: Path, labels: tuple[str, ...]) -> None:
    write_release(tmp_path, ["greeting", "refund", None])
    with pytest.raises(TierUnavailableError, match="another catalogue"):
        DistilbertModel(tmp_path, labels, threads=1)
