"""A release small enough to know by heart: a network that gives each word it knows a logit for one label."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from models.blend import Blend
from models.distilbert import (
    BLEND_FILE,
    GOLDEN_FILE,
    LABELS_FILE,
    LEXICAL_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    open_session,
)
from models.encoder import GOLDEN_SENTENCES
from models.lexical import Block, LexicalModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORDS = ("hello", "refund", "riddle")


def write_release(folder: Path, labels: Sequence[str | None], *, words: Sequence[str] = WORDS) -> None:
    """Write a release in which the first word means the first label with a logit of 5, the second the second, …."""
    vocabulary = {"[UNK]": 0} | {word: number for number, word in enumerate(words, start=1)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / TOKENIZER_FILE))
    table = np.zeros((len(vocabulary), len(labels)), np.float32)
    table[0] = np.linspace(0, 0.01, len(labels))  # an unknown word says next to nothing
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


def complete_release(folder: Path) -> None:
    """Add what training adds: a lexical classifier with a say, here always for the first label, and golden logits."""
    logits = open_session(folder, threads=1).run(GOLDEN_SENTENCES)
    save_file({"logits": logits}, folder / GOLDEN_FILE)
    classes = logits.shape[1]
    knows_nothing = Block(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros((0, classes), np.float32))
    bias = np.eye(1, classes, dtype=np.float32)[0]
    lexical = LexicalModel(words=knows_nothing, characters=knows_nothing, bias=bias, temperature=1.0)
    lexical.save(folder / LEXICAL_FILE)
    (folder / BLEND_FILE).write_bytes(msgspec.json.encode(Blend(network=1.0, lexical=2.0)))
