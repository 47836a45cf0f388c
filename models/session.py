"""A transformer on ONNX Runtime: texts in, one row each out."""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from models.threads import DaemonThread
from models.tokens import TextTokenizer, padded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Rows = npt.NDArray[np.intp]

_SUB_BATCH = 16
"""Texts that go through together. Measured with a thread each: 16 to 32 are as fast as each other; 8 and 64 slower."""

_SLOWER = ["SkipLayerNormFusion"]
"""Of ONNX Runtime's, on a graph of ours: its fused residual takes seven times as long as two Adds and a norm."""


class TokenSession:
    """A graph from `input_ids` and `attention_mask`, both of shape (texts, tokens), to one row a text.

    Threads share out the sub-batches, instead of ONNX Runtime's sharing out each product: they meet once a call and not
    at every operator, and nobody spins meanwhile.
    """

    def __init__(self, graph: Path, tokenizer: Path, *, threads: int) -> None:
        """Load a graph and its tokenizer; so many threads run it, the caller's among them."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER
        )
        self._tokenizer = TextTokenizer(tokenizer)
        self._helpers = [DaemonThread(f"{graph.stem}-{number}") for number in range(1, threads)]
        for helper in self._helpers:
            weakref.finalize(self, helper.shutdown)

    def run(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the graph's first output, shape (texts, columns), in the texts' order; `texts` must not be empty.

        Texts of like length go together, so that little of a batch is padding.
        """
        tokens = self._tokenizer.ids(texts)
        by_length = np.argsort([-len(ids) for ids in tokens], kind="stable")
        size = min(_SUB_BATCH, -(-len(texts) // (len(self._helpers) + 1)))
        waiting = deque(by_length[start : start + size] for start in range(0, len(texts), size))
        helping = [helper.submit(self._work, waiting, tokens) for helper in self._helpers[: len(waiting) - 1]]
        done = self._work(waiting, tokens)
        for help_ in helping:
            done += help_.result()
        outputs = np.empty((len(texts), done[0][1].shape[1]), np.float32)
        for rows, some in done:
            outputs[rows] = some
        return outputs

    def _work(self, waiting: deque[Rows], tokens: list[list[int]]) -> list[tuple[Rows, npt.NDArray[np.float32]]]:
        """Run what waits until nothing does; several threads may."""
        done = []
        while waiting:
            try:
                rows = waiting.popleft()
            except IndexError:  # another thread was faster
                break
            batch = padded([tokens[row] for row in rows])
            done.append((rows, self._session.run(None, {"input_ids": batch.ids, "attention_mask": batch.mask})[0]))
        return done
