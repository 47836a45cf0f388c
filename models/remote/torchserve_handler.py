"""What TorchServe runs of ours: texts in, logits out. It travels in the archive, and imports nothing that does not."""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.session import TokenSession

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODEL_FILE, _TOKENIZER_FILE, _LABELS_FILE = "model.onnx", "tokenizer.json", "labels.json"


class IntentHandler:
    """Takes `{"texts": [...]}`; answers with their logits or, to no texts, with what logits stand for."""

    def initialize(self, context: Any) -> None:
        """Load the archive's model.

        Args:
            context: TorchServe's; tells where the archive was unpacked.
        """
        folder = Path(context.system_properties["model_dir"])
        self._session = TokenSession(folder / _MODEL_FILE, folder / _TOKENIZER_FILE, threads=os.cpu_count() or 1)
        self._told = json.loads((folder / _LABELS_FILE).read_bytes())

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[str]:
        """Answer several requests with one run of the model.

        Args:
            requests: TorchServe's, each with its body.
            context: TorchServe's; takes the status of each answer.
        """
        asked = [_texts(request) for request in requests]
        texts = [text for some in asked for text in some or ()]
        logits = iter(self._session.run(texts).tolist() if texts else [])
        answers = []
        for position, some in enumerate(asked):
            if some is None:
                context.set_response_status(code=HTTPStatus.BAD_REQUEST, idx=position)
            answers.append(self._answer(some, logits))
        return answers

    def _answer(self, texts: list[str] | None, logits: Iterator[list[float]]) -> str:
        """Return the JSON of one answer; TorchServe's own lays a number a line."""
        if texts is None:
            answer: dict[str, Any] = {"error": 'The body must be {"texts": [...]}.'}
        elif texts:
            answer = {"release": self._told["release"], "logits": [next(logits) for _ in texts]}
        else:
            answer = self._told
        return json.dumps(answer, separators=(",", ":"))


def _texts(request: dict[str, Any]) -> list[str] | None:
    """Return a request's texts, or None where there are none to be read."""
    body = request.get("body")
    if isinstance(body, (bytes, bytearray, str)):
        try:
            body = json.loads(body)
        except ValueError:
            return None
    texts = body.get("texts") if isinstance(body, dict) else None
    return texts if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else None
