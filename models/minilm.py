"""A BERT's weights as an ONNX graph: MiniLM's sentence embeddings, or a fine-tuned classifier, without torch.

The graph is written with ONNX Runtime's fused transformer operators, which its optimizer would otherwise have to find
in the plain ones. Pooling and normalisation, or the classifier's head, are part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from models.weights import WEIGHTS_FILE

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_FUSED = "com.microsoft"
_OPSET, _IR = 17, 8

Weights = dict[str, "npt.NDArray[np.float32]"]


class Shape(msgspec.Struct, frozen=True):
    """What `config.json` says of a BERT."""

    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    layer_norm_eps: float


def build_graph(folder: Path) -> onnx.ModelProto:
    """Return a BERT sentence encoder as a graph in fp32.

    Inputs are `input_ids` and `attention_mask`, both int64 of shape (texts, tokens); the output `embeddings` is of
    shape (texts, hidden_size), each row of length 1.

    Args:
        folder: Holds `config.json` and `model.safetensors` of a BERT with absolute positions and GELU.
    """
    shape = msgspec.json.decode((folder / "config.json").read_bytes(), type=Shape)
    return _Graph(shape, load_file(folder / WEIGHTS_FILE)).encoder()


def build_classifier_graph(shape: Shape, weights: Weights) -> onnx.ModelProto:
    """Return a BERT sequence classifier as a graph in fp32.

    Inputs are as of `build_graph`; the output `logits` is of shape (texts, classes).

    Args:
        shape: Of the BERT.
        weights: The BERT's, and those of its head: what stands at the first token goes through the layer
            `pre_classifier`, a ReLU and the layer `classifier`.
    """
    return _Graph(shape, weights).classifier()


class _Graph:
    """Nodes and initializers, as they are added."""

    def __init__(self, shape: Shape, weights: Weights) -> None:
        self._shape = shape
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []

    def encoder(self) -> onnx.ModelProto:
        """Add everything from token ids to embeddings."""
        self._pool(self._states())
        return self._model("encoder", "embeddings", self._shape.hidden_size)

    def classifier(self) -> onnx.ModelProto:
        """Add everything from token ids to logits."""
        self._classify(self._states(first_only=True))
        return self._model("classifier", "logits", len(self._weights["classifier.bias"]))

    def _model(self, name: str, output: str, columns: int) -> onnx.ModelProto:
        sizes = ["texts", "tokens"]
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(each, TensorProto.INT64, sizes) for each in ("input_ids", "attention_mask")],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["texts", columns])],
            self._initializers,
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR)

    def _states(self, *, first_only: bool = False) -> str:
        """Add everything from token ids to the last layer's states, shape (texts, tokens or 1, hidden_size)."""
        self._node("Cast", ["input_ids"], "ids", to=TensorProto.INT32)
        self._node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
        states = self._embed()
        last = self._shape.num_hidden_layers - 1
        for layer in range(last + 1):
            states = self._layer(f"encoder.layer.{layer}", states, first_only=first_only and layer == last)
        return states

    def _embed(self) -> str:
        """Look up words and positions; every token is of segment 0, whose embedding is added to the positions once."""
        segment = self._weights["embeddings.token_type_embeddings.weight"][0]
        inputs = [
            "ids",
            "",
            self._weight("words", self._weights["embeddings.word_embeddings.weight"]),
            self._weight("positions", self._weights["embeddings.position_embeddings.weight"] + segment),
            "",
            *self._norm("embeddings.LayerNorm"),
        ]
        epsilon = self._shape.layer_norm_eps
        return self._fused("EmbedLayerNormalization", inputs, ["embedded", "embedded.mask"], epsilon=epsilon)

    def _layer(self, name: str, states: str, *, first_only: bool = False) -> str:
        """Add self-attention and feed-forward, each with its residual and its layer norm.

        Where only the first token is read afterwards, the other tokens are looked at and go no further.
        """
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        joined = np.concatenate([self._weights[f"{part}.weight"].T for part in parts], axis=1)
        biases = np.concatenate([self._weights[f"{part}.bias"] for part in parts])
        attended = self._fused(
            "Attention",
            [states, self._weight(f"{name}.qkv", joined), self._weight(f"{name}.qkv.bias", biases), "mask"],
            [f"{name}.attended"],
            num_heads=self._shape.num_attention_heads,
        )
        if first_only:
            first = self._weight("first", np.array([0], np.int64))
            attended, states = (self._node("Gather", [of, first], f"{of}.first", axis=1) for of in (attended, states))
        states = self._residual(f"{name}.attention.output", attended, states)
        wide = self._product(f"{name}.intermediate.dense", states)
        bias = self._weight(f"{name}.wide.bias", self._weights[f"{name}.intermediate.dense.bias"])
        wide = self._fused("BiasGelu", [wide, bias], [f"{name}.gelu"])
        return self._residual(f"{name}.output", wide, states)

    def _residual(self, name: str, inner: str, states: str) -> str:
        """Add what comes back to the states, and its norm; one operator could do all that, several times slower."""
        bias = self._weight(f"{name}.bias", self._weights[f"{name}.dense.bias"])
        biased = self._node("Add", [self._product(f"{name}.dense", inner), bias], f"{name}.biased")
        summed = self._node("Add", [biased, states], f"{name}.summed")
        norm = [summed, *self._norm(f"{name}.LayerNorm")]
        return self._node("LayerNormalization", norm, f"{name}.out", epsilon=self._shape.layer_norm_eps)

    def _pool(self, states: str) -> None:
        """Sum the tokens that are no padding; scaled to length 1, the sum is the mean."""
        self._node("Cast", ["attention_mask"], "mask.float", to=TensorProto.FLOAT)
        last = self._weight("last", np.array([-1], np.int64))
        self._node("Unsqueeze", ["mask.float", last], "mask.column")
        self._node("Mul", [states, "mask.column"], "kept")
        self._node("ReduceSum", ["kept", self._weight("tokens.axis", np.array([1], np.int64))], "summed", keepdims=0)
        self._node("LpNormalization", ["summed"], "embeddings", axis=-1, p=2)

    def _classify(self, states: str) -> None:
        """Read the first token's state through two dense layers."""
        self._node("Squeeze", [states, self._weight("only", np.array([1], np.int64))], "read")
        wide = self._dense("pre_classifier", "read", "hidden")
        self._node("Relu", [wide], "activated")
        self._dense("classifier", "activated", "logits")

    def _dense(self, name: str, states: str, output: str) -> str:
        bias = self._weight(f"{name}.bias", self._weights[f"{name}.bias"])
        return self._node("Add", [self._product(name, states), bias], output)

    def _product(self, name: str, states: str) -> str:
        return self._node("MatMul", [states, self._weight(name, self._weights[f"{name}.weight"].T)], f"{name}.product")

    def _norm(self, name: str) -> list[str]:
        return [self._weight(f"{name}.{part}", self._weights[f"{name}.{part}"]) for part in ("weight", "bias")]

    def _weight(self, name: str, values: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> str:
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def _fused(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Add an operator of ONNX Runtime's own."""
        node = helper.make_node(operator, inputs, outputs, name=outputs[0], domain=_FUSED, **attributes)
        self._nodes.append(node)
        return outputs[0]
