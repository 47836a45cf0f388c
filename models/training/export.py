"""Writes a fine-tuned network as the files that serve it, and as those that transformers reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import onnx
from safetensors.numpy import load_file, save_file

from models.distilbert import FP32_FILE, GOLDEN_FILE, MODEL_FILE, TOKENIZER_FILE
from models.encoder import GOLDEN_SENTENCES
from models.minilm import Shape, build_classifier_graph
from models.session import TokenSession
from models.tokens import TextTokenizer
from models.training.conversion import bert_weights
from models.training.quantisation import quantise
from models.weights import WEIGHTS_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONFIG_FILE = "config.json"


class _Config(msgspec.Struct, frozen=True):
    """What transformers writes of a DistilBERT."""

    n_layers: int
    n_heads: int
    dim: int


_LAYER_NORM_EPSILON = 1e-12
"""Not in the configuration: it is fixed in DistilBERT's code."""


def export_onnx(folder: Path, texts: Sequence[str]) -> None:
    """Add the graph that serves, its fp32 form and the golden logits to a folder.

    Args:
        folder: Holds `config.json` and `model.safetensors` of a `DistilBertForSequenceClassification`, and
            `tokenizer.json`.
        texts: What it was trained on; some of them show the ranges of its activations.
    """
    config = msgspec.json.decode((folder / CONFIG_FILE).read_bytes(), type=_Config)
    shape = Shape(
        num_hidden_layers=config.n_layers,
        num_attention_heads=config.n_heads,
        hidden_size=config.dim,
        layer_norm_eps=_LAYER_NORM_EPSILON,
    )
    weights = bert_weights(load_file(folder / WEIGHTS_FILE), config.n_layers)
    onnx.save(build_classifier_graph(shape, weights), folder / FP32_FILE)
    shown = TextTokenizer(folder / TOKENIZER_FILE).ids(texts)
    quantise(folder / FP32_FILE, folder / MODEL_FILE, shown)
    golden = TokenSession(folder / FP32_FILE, folder / TOKENIZER_FILE, threads=1).run(GOLDEN_SENTENCES)
    save_file({"logits": golden}, folder / GOLDEN_FILE)
