"""A plain consumer that answers with transformers' pipeline in its own process.

Takes BROKER, SOURCE, SINK, GROUP, BATCH (texts at most), THREADS, LABELS (how many) and RELEASE (a folder, or nothing);
says `ready` once the model is loaded, and runs until it is ended.
"""

from __future__ import annotations

import logging
import sys

import torch
from consuming import consume  # type: ignore[import-not-found]  # beside this script
from network import open_pipeline  # type: ignore[import-not-found]  # beside this script


def main(broker: str, source: str, sink: str, group: str, *model: str) -> None:
    """Answer for as long as we run."""
    batch, threads, labels = map(int, model[:3])
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    pipeline = open_pipeline(model[3] or None, labels)
    pipeline(["hello"] * batch, batch_size=batch)
    consume(
        broker,
        source,
        sink,
        group,
        batch=batch,
        answer=lambda texts: pipeline(list(texts), batch_size=batch, truncation=True),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
