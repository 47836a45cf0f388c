"""Makes a release of the tier `distilbert`: fine-tuned, exported, calibrated, and measured as it will serve."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from models.calibration import calibration_error
from models.distilbert import BLEND_FILE, LABELS_FILE, LEXICAL_FILE, TOKENIZER_FILE, DistilbertModel, open_session
from models.labels import Labels
from models.measures import area_under_roc
from models.release import Provenance
from models.tokens import TextTokenizer
from models.training.blending import fit_blend
from models.training.device import best_device
from models.training.export import export_onnx
from models.training.fine_tuning import FineTuning, Labelled, Outcome
from models.training.lexical import train_lexical
from models.training.network import base_network
from models.training.temperature import fit_temperature

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

    from models.catalogue import Catalogue
    from models.prediction import Probabilities
    from models.training.corpus import Corpus
    from models.training.recipe import Recipe
    from models.training.seen import Observer


_FEWEST_TO_CALIBRATE = 200
"""Validation texts. Fewer say too little of how sure to be, and one that learnt smoothed labels is modest anyway."""


class Training:
    """One release in the making."""

    def __init__(
        self,
        catalogue: Catalogue,
        corpus: Corpus,
        *,
        base: str,
        recipe: Recipe,
        seed: int,
        threads: int,
        observe: Observer,
    ) -> None:
        """Take what the release depends on.

        Args:
            catalogue: Whose intents it is to tell apart.
            corpus: What to learn.
            base: `minilm`, or a DistilBERT's name on a hub or its folder.
            recipe: How to learn it.
            seed: Of all that chance decides.
            threads: Of torch, on a processor.
            observe: Is told of each step.
        """
        self._catalogue, self._corpus = catalogue, corpus
        self._base, self._recipe, self._seed = base, recipe, seed
        self._threads = threads
        self._observe = observe

    def write(self, folder: Path, checkpoints: Path, say: Callable[[str], None]) -> Provenance:
        """Write a release's files.

        Args:
            folder: Where they go.
            checkpoints: Where the work may be kept in between; of this training alone.
            say: Is told what comes next.

        Raises:
            UnavailableError: torch or the weights are not there.
        """
        outcome = self._fine_tune(folder, checkpoints)
        say("exporting to ONNX, in int8")
        export_onnx(folder)
        say("calibrating on the validation texts")
        self._calibrate(folder)
        say("measuring what will serve")
        return Provenance(
            base=self._base,
            catalogue=self._catalogue.digest,
            corpus=self._corpus.digest,
            recipe=msgspec.structs.asdict(self._recipe),
            seed=self._seed,
            code=version("intentstream"),
            metrics=self._metrics(folder, outcome),
        )

    def _fine_tune(self, folder: Path, checkpoints: Path) -> Outcome:
        labels = tuple(label if label is not None else OUT_OF_SCOPE for label in self._labels)
        base = base_network(self._base, labels, seed=self._seed, folder=folder)
        if base.tokenizer.parent != folder:
            shutil.copyfile(base.tokenizer, folder / TOKENIZER_FILE)
        tokenizer = TextTokenizer(folder / TOKENIZER_FILE)
        train, validation = (
            Labelled(tokenizer.ids(part.texts), part.truth) for part in (self._corpus.train, self._corpus.validation)
        )
        outcome = FineTuning(
            base.network,
            train,
            validation,
            self._recipe,
            seed=self._seed,
            device=best_device(threads=self._threads),
            folder=checkpoints,
            observe=self._observe,
        ).run()
        base.network.save_pretrained(folder)
        return outcome

    @property
    def _labels(self) -> tuple[str | None, ...]:
        return (*self._catalogue.labels, None)

    def _calibrate(self, folder: Path) -> None:
        """Fit the network's own temperature, and the blend with a lexical classifier; both as served, in int8."""
        validation = self._corpus.validation
        enough = len(validation.texts) >= _FEWEST_TO_CALIBRATE
        logits = open_session(folder, threads=self._threads).run(validation.texts)
        temperature = fit_temperature(logits, validation.truth) if enough else 1.0
        _write(folder / LABELS_FILE, Labels(labels=self._labels, temperature=temperature))
        if not enough:
            return
        # Not on the validation texts, too: thresholds are fitted by what the release says of those.
        lexical = train_lexical(self._corpus.train)
        _write(folder / BLEND_FILE, fit_blend(logits, lexical.logits(validation.texts), validation.truth))
        lexical.save(folder / LEXICAL_FILE)

    def _metrics(self, folder: Path, outcome: Outcome) -> dict[str, float]:
        metrics = {
            "validation_accuracy": outcome.best_accuracy,
            "best_epoch": float(outcome.best_epoch),
            "epochs": float(outcome.epochs),
            "seconds": round(outcome.seconds, 1),
        }
        if self._corpus.test is None:
            return metrics
        model = DistilbertModel(folder, self._catalogue.labels, threads=self._threads)
        return metrics | test_metrics(model.predict(self._corpus.test.texts), self._corpus.test.truth)


OUT_OF_SCOPE = "out_of_scope"
"""What the network's own configuration calls it: null is no label there."""


def test_metrics(rows: Probabilities, truth: np.ndarray[tuple[int], np.dtype[np.intp]]) -> dict[str, float]:
    """Return how good answers are: of texts that have an intent, and of telling them from those that have none.

    Args:
        rows: Shape (texts, intents + 1), the last being out-of-scope.
        truth: Shape (texts,), the right column of each.
    """
    beyond = rows.shape[1] - 1
    inside = truth != beyond
    confidence, answered = rows[inside].max(axis=1), rows[inside].argmax(axis=1)
    metrics = {
        "test_in_scope_accuracy": float((answered == truth[inside]).mean()),
        "test_calibration_error": calibration_error(confidence, answered == truth[inside]),
    }
    if inside.all():
        return metrics
    likely = rows[:, :beyond].max(axis=1)
    return metrics | {"test_oos_auroc": area_under_roc(likely[inside], likely[~inside])}


def _write(file: Path, content: msgspec.Struct) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
