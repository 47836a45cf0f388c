"""BERT's weights under DistilBERT's names, and back.

A DistilBERT is a BERT without segment embeddings. Where every token is of segment 0, as in a classifier of single
texts, adding that segment's row to each position makes the two the same network. Nothing here needs torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

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


_MEAN_TO_FIRST = 8.0
"""How much more a text's mean counts than what stood at its first token; from about 4 on it makes no difference."""


def distilbert_weights(bert: Weights, layers: int) -> Weights:
    """Return a BERT's weights as those of a `DistilBertModel`; the pooler, which reads no text, is left out."""
    converted = {name: bert[name] for name in _OUTSIDE_LAYERS}
    converted[_POSITIONS] = bert[_POSITIONS] + bert[_SEGMENTS][0]
    return converted | {ours: bert[theirs] for theirs, ours in _names(layers)}


def pooling_layer(shape: Shape, hidden_dim: int, layer: int) -> Weights:
    """Return one more layer, which puts the mean of a text's tokens at its first token.

    A sentence encoder is read by that mean, DistilBERT's head by the first token. Here every token attends to all
    alike, near enough, and hands on what it sees; the rest of the layer adds nothing yet, and can learn to.

    Args:
        shape: Of the encoder.
        hidden_dim: Width of the layer's feed-forward part.
        layer: Its number.
    """
    width = shape.hidden_size
    generator = np.random.default_rng(0)

    def little(rows: int) -> npt.NDArray[np.float32]:
        return generator.normal(0, 0.02, (rows, width)).astype(np.float32)

    own = np.eye(width, dtype=np.float32)
    weights = {
        "attention.q_lin": little(width),
        "attention.k_lin": little(width),
        "attention.v_lin": own,
        "attention.out_lin": _MEAN_TO_FIRST * own,
        "ffn.lin1": little(hidden_dim),
        "ffn.lin2": np.zeros((width, hidden_dim), np.float32),
        "sa_layer_norm": np.ones(width, np.float32),
        "output_layer_norm": np.ones(width, np.float32),
    }
    prefix = f"transformer.layer.{layer}."
    biases = {f"{prefix}{name}.bias": np.zeros(len(weight), np.float32) for name, weight in weights.items()}
    return {f"{prefix}{name}.weight": weight for name, weight in weights.items()} | biases


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
