"""Prepares the encoder's files: graph, int8 graph, tokenizer, and the golden vectors that int8 is held against."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import save_file

from models.encoder import FP32_FILE, GOLDEN_FILE, GOLDEN_SENTENCES, INT8_FILE, TOKENIZER_FILE, Encoder
from models.minilm import build_graph
from models.weights import weights_folder

if TYPE_CHECKING:
    from pathlib import Path


def make_encoder(folder: Path) -> None:
    """Write the files into the folder.

    Raises:
        UnavailableError: The weights are not installed.
    """
    weights = weights_folder()
    shutil.copyfile(weights / "tokenizer.json", folder / TOKENIZER_FILE)
    onnx.save(build_graph(weights), folder / FP32_FILE)
    quantise(folder / FP32_FILE, folder / INT8_FILE)
    golden = Encoder(folder, "fp32", threads=1).embed(GOLDEN_SENTENCES)
    save_file({"embeddings": golden}, folder / GOLDEN_FILE)


def quantise(source: Path, target: Path) -> None:
    """Write a graph's int8 form: weights by channel, activations by their range in each call."""
    # It advises pre-processing, which is for graphs whose operators are not fused yet.
    logging.getLogger().addFilter(_no_advice)
    try:
        quantize_dynamic(
            source,
            target,
            per_channel=True,
            weight_type=QuantType.QInt8,
            # Shape inference does not know the fused operators' types.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    finally:
        logging.getLogger().removeFilter(_no_advice)


def _no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()
