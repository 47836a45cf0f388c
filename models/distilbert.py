"""The tier `distilbert`: a fine-tuned sequence classifier, served from the folder of its release.

A release is at least `model.onnx` (inputs `input_ids` and `attention_mask`, output logits), `tokenizer.json` and
`labels.json`: `{"labels": [...], "temperature": 1.0}`, where the label `null` is out-of-scope. Of ours
(`models.training.distilbert`) `model.onnx` is int8, and there are
`model.fp32.onnx` and `golden.safetensors`, for processors whose int8 cannot be trusted,
`lexical.safetensors` and `blend.json`, the lexical classifier that has a say, too, and how much of one;
`tier.json`, how its answers are to be read (`models.policy.TierPolicy`) where nobody held it against the other tiers,
`held_out.safetensors`, what it said of the validation texts before it learnt those, too (`models.held_out`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import structlog
from safetensors.numpy import load_file

from models.blend import Blend
from models.encoder import GOLDEN_SENTENCES
from models.held_out import HeldOut
from models.labels import LabelColumns, Labels
from models.lexical import LexicalModel
from models.prediction import TierUnavailableError
from models.session import TokenSession

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from models.prediction import Model, Probabilities

MODEL_FILE, TOKENIZER_FILE, LABELS_FILE = "model.onnx", "tokenizer.json", "labels.json"
FP32_FILE, GOLDEN_FILE = "model.fp32.onnx", "golden.safetensors"
LEXICAL_FILE, BLEND_FILE = "lexical.safetensors", "blend.json"
TIER_FILE, HELD_OUT_FILE = "tier.json", "held_out.safetensors"

LEAST_CORRELATION = 0.9
"""Of int8's logits with fp32's, text by text. Where 16-bit sums saturate, it falls far below."""

_log = structlog.get_logger(__name__)


class DistilbertModel:
    """A release whose labels are the catalogue's."""

    def __init__(self, folder: Path, labels: Sequence[str], *, threads: int) -> None:
        """Load a release.

        Args:
            folder: Holds its files.
            labels: The catalogue's intents, in the order of the tiers' columns.
            threads: How many run its graph.

        Raises:
            TierUnavailableError: There is no release, or it was trained for another catalogue.
        """
        if not (folder / MODEL_FILE).is_file():
            raise TierUnavailableError("no release is installed")
        told = msgspec.json.decode((folder / LABELS_FILE).read_bytes(), type=Labels)
        self._verdict = Verdict(told, labels, folder)
        self._session = open_session(folder, threads=threads)
        self._folder = folder

    def predict(self, texts: Sequence[str]) -> Probabilities:
        """Return calibrated probabilities of normalised texts; out-of-scope has none where it was not trained."""
        return self._verdict.probabilities(self._session.run(texts), texts)

    def stand_in(self) -> Model:
        """Return what thresholds are fitted to: of texts first held out, it says what it said before it learnt them."""
        file = self._folder / HELD_OUT_FILE
        return HeldOut.load(file).in_place_of(self) if file.is_file() else self


class Verdict:
    """What becomes of the network's logits, wherever it runs: the lexical classifier's say, calibration, columns."""

    def __init__(self, told: Labels, labels: Sequence[str], folder: Path | None) -> None:
        """Match the labels, and load the lexical classifier where the release brings one.

        Args:
            told: What the logits stand for.
            labels: The catalogue's intents, in the order of the tiers' columns.
            folder: Of the release; None: the network is heard alone.

        Raises:
            TierUnavailableError: The release was trained for another catalogue.
        """
        self._columns = LabelColumns(told, labels)
        self._blend: tuple[Blend, LexicalModel] | None = None
        if folder is not None and (folder / BLEND_FILE).is_file():
            blend = msgspec.json.decode((folder / BLEND_FILE).read_bytes(), type=Blend)
            self._blend = blend, LexicalModel.load(folder / LEXICAL_FILE)

    def probabilities(self, logits: npt.NDArray[np.float32], texts: Sequence[str]) -> Probabilities:
        """Return calibrated probabilities; out-of-scope has none where it was not trained.

        Args:
            logits: Of the network, shape (texts, the release's labels).
            texts: Normalised.
        """
        if self._blend is None:
            return self._columns.probabilities(logits)
        blend, lexical = self._blend
        return self._columns.arranged(blend.probabilities(logits, lexical.logits(texts)))


def check_labels(content: bytes, labels: Sequence[str]) -> None:
    """Return if a release tells these intents apart.

    Args:
        content: Of its `labels.json`.
        labels: The catalogue's intents.

    Raises:
        TierUnavailableError: It was trained for another catalogue, or its labels cannot be read.
    """
    try:
        told = msgspec.json.decode(content, type=Labels)
    except msgspec.DecodeError as error:
        raise TierUnavailableError(f"its {LABELS_FILE} cannot be read: {error}") from error
    LabelColumns(told, labels)


def open_session(folder: Path, *, threads: int) -> TokenSession:
    """Load a release's graph and put it to the test; where it strays from the golden logits, load fp32 and say so."""
    session = TokenSession(folder / MODEL_FILE, folder / TOKENIZER_FILE, threads=threads)
    if not (folder / GOLDEN_FILE).is_file():
        return session  # made elsewhere: there is nothing to hold it against
    golden = load_file(folder / GOLDEN_FILE)["logits"]
    correlation = least_correlation(session.run(GOLDEN_SENTENCES), golden)
    if correlation >= LEAST_CORRELATION:
        return session
    _log.warning("distilbert_int8_refused", correlation=correlation, least=LEAST_CORRELATION, serving="fp32")
    return TokenSession(folder / FP32_FILE, folder / TOKENIZER_FILE, threads=threads)


def least_correlation(logits: npt.NDArray[np.float32], golden: npt.NDArray[np.float32]) -> float:
    """Return the least of the texts' correlations; both of shape (texts, labels); not a number counts as none."""
    here, there = (rows - rows.mean(axis=1, keepdims=True) for rows in (logits, golden))
    lengths = np.linalg.norm(here, axis=1) * np.linalg.norm(there, axis=1)
    correlations = (here * there).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return float(np.nan_to_num(correlations, nan=-1.0).min())
