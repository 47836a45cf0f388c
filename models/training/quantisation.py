"""Writes a transformer's int8 form, its activations' ranges fixed beforehand by texts that were run through it.

ONNX Runtime's dynamic quantisation takes each range from the call instead, and so what a text comes to depends on the
texts beside it: by up to .04 in an element of an embedding. With fixed ranges it depends on the text alone.

A few channels of the activations are many times as wide as the others and leave these few steps. Part of that width is
moved into the weights first, where each column has a scale of its own (Xiao et al. 2023, SmoothQuant, arXiv
2211.10438); it is then nearer to fp32 than dynamic ranges are.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from models.tokens import padded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

_MIGRATION = 0.85
"""The paper's alpha: the share of the width that is moved. Chosen by the cosine to fp32; 0.75 to 0.92 are alike."""

_STEPS, _WEIGHT_STEPS = 255, 127
_NARROWEST = 1e-5
_SHOWN = 200
"""Texts that ranges are taken from. With ten times as many, the cosine to fp32 is .9976 instead of .9972."""

_AT_ONCE = 32
_PRODUCTS = frozenset({"Attention", "MatMul"})
_FUSED = "com.microsoft"


class _Range(NamedTuple):
    """The least and the most of each channel of an activation, each of shape (channels,)."""

    least: Floats
    most: Floats

    def joined(self, other: _Range) -> _Range:
        return _Range(np.minimum(self.least, other.least), np.maximum(self.most, other.most))


def quantise(source: Path, target: Path, tokens: Sequence[Sequence[int]]) -> None:
    """Write a graph's int8 form: weights by channel, activations by ranges that texts show.

    Args:
        source: A graph of `models.minilm`, in fp32.
        target: Where its int8 form goes.
        tokens: Of texts of the kind that will come; some of them show the ranges.
    """
    model = onnx.load(source)
    shown = tokens[:: -(-len(tokens) // _SHOWN)]
    quantised = _Quantised(model, _ranges(model, shown)).model()
    # It advises pre-processing, which is for graphs whose operators are not fused yet, and wonders at our products.
    logging.getLogger().addFilter(_no_advice)
    try:
        quantize_dynamic(  # of a look-up there is no activation
            quantised,
            target,
            op_types_to_quantize=["EmbedLayerNormalization"],
            weight_type=QuantType.QInt8,
            # Shape inference does not know the fused operators' types.
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
    finally:
        logging.getLogger().removeFilter(_no_advice)


def _ranges(model: onnx.ModelProto, tokens: Iterable[Sequence[int]]) -> dict[str, _Range]:
    """Return the range of what each product of the graph reads, over some texts."""
    names = list(dict.fromkeys(node.input[0] for node in _products(model)))
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ranges: dict[str, _Range] = {}
    for group in _of_one_length(tokens):
        batch = padded(group)
        outputs = session.run(names, {"input_ids": batch.ids, "attention_mask": batch.mask})
        for name, output in zip(names, outputs, strict=True):
            rows = output.reshape(-1, output.shape[-1])
            found = _Range(rows.min(axis=0), rows.max(axis=0))
            ranges[name] = ranges[name].joined(found) if name in ranges else found
    return ranges


def _of_one_length(tokens: Iterable[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Return texts that need no padding beside each other: its ranges are no text's."""
    for _, group in itertools.groupby(sorted(tokens, key=len), key=len):
        while some := list(itertools.islice(group, _AT_ONCE)):
            yield some


def _products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that multiply an activation by weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type in _PRODUCTS and node.input[1] in weights]


class _Quantised:
    """A graph on its way to int8."""

    def __init__(self, model: onnx.ModelProto, ranges: dict[str, _Range]) -> None:
        self._model = model
        self._ranges = ranges
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._nodes: list[onnx.NodeProto] = []

    def model(self) -> onnx.ModelProto:
        """Return the graph with every product in int8."""
        products = {node.output[0] for node in _products(self._model)}
        for node in self._model.graph.node:
            if node.output[0] in products:
                self._quantise(node)
            else:
                self._nodes.append(node)
        quantised = onnx.ModelProto()
        quantised.CopyFrom(self._model)
        del quantised.graph.node[:], quantised.graph.initializer[:]
        quantised.graph.node.extend(self._nodes)
        quantised.graph.initializer.extend(self._weights.values())
        return quantised

    def _quantise(self, node: onnx.NodeProto) -> None:
        """Add a product in int8: of an activation that was made even, and of weights that take its width."""
        name = node.output[0]
        weights = numpy_helper.to_array(self._weights.pop(node.input[1]))
        narrowed, widths = _evened(self._ranges[node.input[0]], weights)
        evened = self._node("Mul", [node.input[0], self._add(f"{name}.evening", 1 / widths)], f"{name}.even")
        scale, zero = _grid(narrowed)
        grid = self._add(f"{name}.scale", scale), self._add(f"{name}.zero", zero)
        steps = self._node("QuantizeLinear", [evened, *grid], f"{name}.steps")
        columns, column_scales = _by_column(weights * widths[:, np.newaxis])
        rows = self._add(f"{name}.weights", columns)
        column_grid = (
            self._add(f"{name}.weights.scale", column_scales),
            self._add(f"{name}.weights.zero", np.zeros(len(column_scales), np.int8)),
        )
        if node.op_type == "MatMul":
            inputs = [steps, rows, grid[0], column_grid[0], grid[1], column_grid[1]]
            self._node("MatMulIntegerToFloat", inputs, name, domain=_FUSED)
            return
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        bias, mask = node.input[2:4]
        inputs = [steps, rows, bias, grid[0], column_grid[0], mask, grid[1], column_grid[1]]
        self._node("QAttention", inputs, name, domain=_FUSED, num_heads=attributes["num_heads"])

    def _add(self, name: str, values: npt.NDArray[Any]) -> str:
        self._weights[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def _node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output


def _evened(reach: _Range, weights: Floats) -> tuple[_Range, Floats]:
    """Return an activation's range once each channel is divided by its width, and the widths, which are 1 on average.

    Args:
        reach: Of the activation.
        weights: What it is multiplied by, shape (channels, columns).
    """
    activation = np.maximum(np.maximum(-reach.least, reach.most), _NARROWEST)
    weight = np.maximum(np.abs(weights).max(axis=1), _NARROWEST)
    widths = activation**_MIGRATION / weight ** (1 - _MIGRATION)
    widths = np.asarray(widths / np.exp(np.log(widths).mean()), np.float32)
    return _Range(reach.least / widths, reach.most / widths), widths


def _grid(reach: _Range) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return the scale and the zero of the uint8 that spans a range and 0."""
    least, most = min(0.0, float(reach.least.min())), max(_NARROWEST, float(reach.most.max()))
    scale = (most - least) / _STEPS
    return np.array(scale, np.float32), np.array(round(-least / scale), np.uint8)


def _by_column(weights: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Return weights in int8, and each column's scale."""
    scales = np.asarray(np.maximum(np.abs(weights).max(axis=0), _NARROWEST) / _WEIGHT_STEPS, np.float32)
    return np.rint(weights / scales).astype(np.int8), scales


def _no_advice(record: logging.LogRecord) -> bool:
    said = record.getMessage()
    return "pre-processing" not in said and "already quantized" not in said
