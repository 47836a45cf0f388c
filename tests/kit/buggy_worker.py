"""A worker with a bug: a certain text is too much for it. Run as a module, with a worker's environment."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from schemas.cloudevents import decode_utterance
from schemas.settings_loading import load_settings
from streams.app import run_worker

FATAL = "how much is one divided by nothing"


def stumble(value: bytes | None, *arguments: Any, **options: Any) -> Any:
    """Read an utterance, or divide by zero."""
    received = decode_utterance(value, *arguments, **options)
    return received if FATAL.encode() not in (value or b"") else 1 / 0


if __name__ == "__main__":
    with patch("streams.classify.decode_utterance", stumble):
        run_worker(load_settings())
