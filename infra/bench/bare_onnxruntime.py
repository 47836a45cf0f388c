"""What a user would write to run the encoder fast: the int8 graph as ONNX Runtime's tool makes it, and a loop."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer

from models.encoder import FP32_FILE, TOKENIZER_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

_BATCH = 32
_MOST_TOKENS = 512


class BareEncoder:
    """The loop: texts sorted by length, in batches of 32, each padded to its longest.

    Args:
        prepared: Folder of the prepared encoder, for its fp32 graph and tokenizer.
        scratch: Where the int8 graph is put.
        threads: Of ONNX Runtime; everything else of it is as it comes.
    """

    def __init__(self, prepared: Path, scratch: Path, *, threads: int) -> None:
        graph = scratch / "dynamic-int8.onnx"
        logging.getLogger().setLevel(logging.ERROR)  # it advises pre-processing, which changes nothing here
        quantize_dynamic(
            prepared / FP32_FILE,
            graph,
            per_channel=True,
            weight_type=QuantType.QInt8,
            # Shape inference does not know the fused operators' types.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(prepared / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MOST_TOKENS)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one embedding a text, in the texts' order."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        embedded: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)] * len(tokens)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            ids = np.zeros((len(rows), max(len(tokens[row]) for row in rows)), np.int64)
            mask = np.zeros_like(ids)
            for place, row in enumerate(rows):
                ids[place, : len(tokens[row])] = tokens[row]
                mask[place, : len(tokens[row])] = 1
            outputs = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
            for place, row in enumerate(rows):
                embedded[row] = outputs[place]
        return np.stack(embedded)
