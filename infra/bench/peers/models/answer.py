"""Answers texts with transformers' pipeline and with semantic-router, when told to, and says how long that took.

Takes TASK, a JSON file: `texts` and the right `intents`, `examples` by intent, `release` (a folder with a fine-tuned
DistilBERT, or null) and `threads`. Says `{"ready": …}` once everybody is warm; then, for each line of standard input
that names a peer, `{"seconds": …, "texts": …, "right": …}`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from network import open_pipeline, weights  # type: ignore[import-not-found]  # beside this script
from semantic_router import IndexedRouter, Route
from semantic_router.encoders import HuggingFaceEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Answer = Callable[[Sequence[str]], list[str | None]]

PIPELINE_TEXTS, ROUTER_TEXTS = {1: 200, 32: 512}, 200
"""A round; each takes a few seconds."""

EXAMPLES_EACH = 10
"""Of each intent, for semantic-router: it compares a text with every one."""


def pipelines(task: dict[str, Any]) -> dict[str, tuple[Answer, int]]:
    """Return `pipeline("text-classification")` in fp32, text by text and in batches."""
    pipeline = open_pipeline(task["release"], len(task["examples"]))

    def answering(batch: int) -> Answer:
        return lambda texts: [each["label"] for each in pipeline(list(texts), batch_size=batch, truncation=True)]

    return {f"transformers_pipeline_{batch}": (answering(batch), texts) for batch, texts in PIPELINE_TEXTS.items()}


def router(task: dict[str, Any]) -> dict[str, tuple[Answer, int]]:
    """Return semantic-router over MiniLM, with a few examples of each intent."""
    routes = [Route(name=name, utterances=said[:EXAMPLES_EACH]) for name, said in task["examples"].items() if said]
    asked = IndexedRouter(encoder=HuggingFaceEncoder(name=str(weights()), device="cpu"), routes=routes)
    return {"semantic_router": (lambda texts: [asked(text).name for text in texts], ROUTER_TEXTS)}


def main(file: str) -> None:
    """Answer until standard input ends."""
    logging.disable(logging.WARNING)
    task = json.loads(Path(file).read_text())
    torch.set_num_threads(task["threads"])
    peers = pipelines(task) | router(task)
    for answer, _ in peers.values():
        answer(task["texts"][:8])
    print(json.dumps({"ready": sorted(peers), "torch": torch.__version__, "transformers": transformers.__version__}))
    sys.stdout.flush()
    at = dict.fromkeys(peers, 0)
    for line in sys.stdin:
        name = line.strip()
        answer, count = peers[name]
        rows = [(at[name] + row) % len(task["texts"]) for row in range(count)]
        at[name] += count
        begun = time.perf_counter()
        given = answer([task["texts"][row] for row in rows])
        seconds = time.perf_counter() - begun
        right = sum(intent == task["intents"][row] for intent, row in zip(given, rows, strict=True))
        print(json.dumps({"seconds": seconds, "texts": count, "right": right}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
