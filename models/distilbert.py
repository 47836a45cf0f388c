"""The tier `distilbert`: a fine-tuned sequence classifier, served from the folder of its release.

A release is `model.onnx` (inputs `input_ids` and `attention_mask`, output logits), `tokenizer.json` and `labels.json`:
`{"labels": [...], "temperature": 1.0}`, where the label `null` is out-of-scope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.labels import LabelColumns, Labels
from models.prediction import TierUnavailableError
from models.session import TokenSession

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from models.prediction import Probabilities

MODEL_FILE, TOKENIZER_FILE, LABELS_FILE = "model.onnx", "tokenizer.json", "labels.json"


class DistilbertModel:
    """A release whose labels are the catalogue's."""

    def __init__(self, folder: Path, labels: Sequence[str], *, threads: int) -> None:
        """Load a release.

        Args:
            folder: Holds its files.
            labels: The catalogue's intents, in the order of the tiers' columns.
            threads: Of ONNX Runtime.

        Raises:
            TierUnavailableError: There is no release, or it was trained for another catalogue.
        """
        if not (folder / MODEL_FILE).is_file():
            raise TierUnavailableError("no release is installed")
        told = msgspec.json.decode((folder / LABELS_FILE).read_bytes(), type=Labels)
        self._columns = LabelColumns(told, labels)
        self._session = TokenSession(folder / MODEL_FILE, folder / TOKENIZER_FILE, threads=threads)

    def predict(self, texts: Sequence[str]) -> Probabilities:
        """Return calibrated probabilities of normalised texts; out-of-scope has none where it was not trained."""
        return self._columns.probabilities(self._session.run(texts))
