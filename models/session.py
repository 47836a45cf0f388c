"""A transformer on ONNX Runtime: texts in, one row each out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

MAX_TOKENS = 128
"""What MiniLM was trained on."""

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
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def run(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the graph's first output, shape (texts, columns), in the texts' order; `texts` must not be empty.

        Texts of like length go together, so that little of a batch is padding.
        """
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)]
        lengths = np.array([len(ids) for ids in tokens])
        by_length = np.argsort(lengths, kind="stable")
        rows = [by_length[start : start + _SUB_BATCH] for start in range(0, len(texts), _SUB_BATCH)]
        outputs = np.concatenate([self._run([tokens[row] for row in some], lengths[some]) for some in rows])
        ordered = np.empty_like(outputs)
        ordered[by_length] = outputs
        return ordered

    def _run(self, tokens: list[list[int]], lengths: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.zeros(mask.shape, np.int64)
        ids[mask] = np.concatenate(tokens)
        outputs: npt.NDArray[np.float32] = self._session.run(
            None, {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        )[0]
        return outputs
