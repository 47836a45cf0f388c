"""A transformer on ONNX Runtime: texts in, one row each out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from models.tokens import TextTokenizer, padded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

_SUB_BATCH = 32
"""Measured: 16 to 64 are as fast as each other; one alone and 128 are slower."""


class TokenSession:
    """A graph from `input_ids` and `attention_mask`, both of shape (texts, tokens), to one row a text."""

    def __init__(self, graph: Path, tokenizer: Path, *, threads: int) -> None:
        """Load a graph and its tokenizer; `threads` are ONNX Runtime's."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin between calls would take the processor from the event loop.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._tokenizer = TextTokenizer(tokenizer)

    def run(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the graph's first output, shape (texts, columns), in the texts' order; `texts` must not be empty.

        Texts of like length go together, so that little of a batch is padding.
        """
        tokens = self._tokenizer.ids(texts)
        by_length = np.argsort([len(ids) for ids in tokens], kind="stable")
        rows = [by_length[start : start + _SUB_BATCH] for start in range(0, len(texts), _SUB_BATCH)]
        outputs = np.concatenate([self._run([tokens[row] for row in some]) for some in rows])
        ordered = np.empty_like(outputs)
        ordered[by_length] = outputs
        return ordered

    def _run(self, tokens: list[list[int]]) -> npt.NDArray[np.float32]:
        batch = padded(tokens)
        outputs: npt.NDArray[np.float32] = self._session.run(
            None, {"input_ids": batch.ids, "attention_mask": batch.mask}
        )[0]
        return outputs
