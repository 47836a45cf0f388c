"""Sentence embeddings: int8 where this processor's int8 can be trusted, else fp32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import structlog
from safetensors.numpy import load_file

from models.session import TokenSession

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

FP32_FILE, INT8_FILE, TOKENIZER_FILE, GOLDEN_FILE = "fp32.onnx", "int8.onnx", "tokenizer.json", "golden.safetensors"

GOLDEN_SENTENCES = (
    "ok",
    "where is my parcel?",
    "i was charged twice for the same order, please refund one of them",
    "can you move my dentist appointment from tuesday to thursday afternoon",
    "¿dónde está la estación más cercana?",
    "set an alarm for half past six tomorrow morning and play some jazz when it goes off",
)
"""What the self-test encodes: short and long, plain and not."""

VERSION = 3
"""Raised whenever the same weights would be prepared otherwise."""

_LEAST_COSINE = 0.9
"""Of int8 to fp32. Measured .95 to .99 with VNNI; where 16-bit sums saturate, it falls far below."""

Precision = Literal["int8", "fp32"]

_log = structlog.get_logger(__name__)


class Encoder:
    """What `models.training.encoder` prepared, loaded."""

    def __init__(self, folder: Path, precision: Precision, *, threads: int) -> None:
        """Load the graph of one precision; so many threads run it."""
        self.precision = precision
        graph = folder / (INT8_FILE if precision == "int8" else FP32_FILE)
        self._session = TokenSession(graph, folder / TOKENIZER_FILE, threads=threads)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one embedding a text, shape (texts, width), each of length 1; blocks the thread that calls it."""
        return self._session.run(texts)


def open_encoder(folder: Path, *, threads: int) -> Encoder:
    """Load the int8 graph and put it to the test; where it strays from fp32's golden vectors, load fp32 and say so."""
    encoder = Encoder(folder, "int8", threads=threads)
    golden = load_file(folder / GOLDEN_FILE)["embeddings"]
    cosine = float((encoder.embed(GOLDEN_SENTENCES) * golden).sum(axis=1).min())
    if cosine >= _LEAST_COSINE:
        return encoder
    _log.warning("encoder_int8_refused", cosine=round(cosine, 4), least=_LEAST_COSINE, serving="fp32")
    return Encoder(folder, "fp32", threads=threads)
