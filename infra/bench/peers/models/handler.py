"""What TorchServe runs of the peer's: transformers' pipeline. It travels in the archive, and `network` beside it."""

from __future__ import annotations

import logging
from typing import Any

import torch
from network import open_pipeline  # type: ignore[import-not-found]  # beside this script


class PipelineHandler:
    """Takes `{"texts": [...]}`; answers with what the pipeline says of each."""

    def initialize(self, context: Any) -> None:
        """Load the model.

        Args:
            context: TorchServe's; has the `threads`, `labels` and `release` that the archive's configuration names.
        """
        logging.disable(logging.WARNING)
        told = context.model_yaml_config["handler"]
        torch.set_num_threads(told["threads"])
        self._pipeline = open_pipeline(told["release"], told["labels"])

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[list[dict[str, Any]]]:  # noqa: ARG002 - TorchServe's
        """Answer each request with one run of the pipeline."""
        asked = [request["body"]["texts"] for request in requests]
        return [self._pipeline(texts, batch_size=len(texts), truncation=True) for texts in asked]
