"""BERT's weights under DistilBERT's names, and back.

A DistilBERT is a BERT without segment embeddings. Where every token is of segment 0, as in a classifier of single
texts, adding that segment's row to each position makes the two the same network. Nothing here needs torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.minilm import Shape, Weights

_SEGMENTS = "embeddings.token_type_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_ENCODER = "distilbert."
_OUTSIDE_LAYERS = (
    "embeddings.word_embeddings.weight",
    _POSITIONS,
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
)
_IN_A_LAYER = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
"""BERT's names of what a layer holds, and DistilBERT's."""

_HEAD = ("pre_classifier", "classifier")


def distilbert_weights(bert: Weights, layers: int) -> Weights:
    """Return a BERT's weights as those of a `DistilBertModel`; the pooler, which reads no text, is left out."""
    converted = {name: bert[name] for name in _OUTSIDE_LAYERS}
    converted[_POSITIONS] = bert[_POSITIONS] + bert[_SEGMENTS][0]
    return converted | {ours: bert[theirs] for theirs, ours in _names(layers)}


def bert_weights(classifier: Weights, layers: int) -> Weights:
    """Return the weights of a `DistilBertForSequenceClassification` as `models.minilm` reads them."""
    converted = {name: classifier[_ENCODER + name] for name in _OUTSIDE_LAYERS}
    converted[_SEGMENTS] = np.zeros((1, converted[_POSITIONS].shape[1]), np.float32)
    converted |= {theirs: classifier[_ENCODER + ours] for theirs, ours in _names(layers)}
    return converted | {f"{name}.{part}": classifier[f"{name}.{part}"] for name in _HEAD for part in ("weight", "bias")}


def distilbert_config(shape: Shape, bert: Weights) -> dict[str, int]:
    """Return what `transformers.DistilBertConfig` must be told for these weights to fit."""
    return {
        "vocab_size": len(bert["embeddings.word_embeddings.weight"]),
        "max_position_embeddings": len(bert[_POSITIONS]),
        "n_layers": shape.num_hidden_layers,
        "n_heads": shape.num_attention_heads,
        "dim": shape.hidden_size,
        "hidden_dim": len(bert["encoder.layer.0.intermediate.dense.weight"]),
    }


def _names(layers: int) -> list[tuple[str, str]]:
    """Return BERT's and DistilBERT's name of each of the layers' arrays."""
    return [
        (f"encoder.layer.{layer}.{theirs}.{part}", f"transformer.layer.{layer}.{ours}.{part}")
        for layer in range(layers)
        for theirs, ours in _IN_A_LAYER.items()
        for part in ("weight", "bias")
    ]
