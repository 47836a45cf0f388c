"""Makes a release of the tier `distilbert`: fine-tuned, exported, calibrated, and measured as it will serve."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from models.distilbert import (
    BLEND_FILE,
    HELD_OUT_FILE,
    LABELS_FILE,
    LEXICAL_FILE,
    TIER_FILE,
    TOKENIZER_FILE,
    DistilbertModel,
    open_session,
)
from models.evaluation import judge_rows, quality_measures
from models.held_out import HeldOut
from models.labels import Labels
from models.lexical import LexicalModel
from models.policy import TierPolicy
from models.release import Provenance
from models.router import DISTILBERT
from models.tokens import TextTokenizer
from models.training.blending import fit_blend
from models.training.device import best_device
from models.training.export import export_onnx
from models.training.fine_tuning import FineTuning, Labelled, Outcome
from models.training.lexical import train_lexical
from models.training.network import base_network
from models.training.policy import USUAL_TARGETS, Targets, fit_policy
from models.training.temperature import fit_temperature

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.catalogue import Catalogue
    from models.training.corpus import Corpus
    from models.training.examples import Examples
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
        targets: Targets = USUAL_TARGETS,
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
            targets: What the threshold of out-of-scope is fitted for.
        """
        self._catalogue, self._corpus = catalogue, corpus
        self._base, self._recipe, self._seed = base, recipe, seed
        self._threads = threads
        self._observe = observe
        self._targets = targets

    def write(self, folder: Path, checkpoints: Path, say: Callable[[str], None]) -> Provenance:
        """Write a release's files.

        Args:
            folder: Where they go.
            checkpoints: Where the work may be kept in between; of this training alone.
            say: Is told what comes next.

        Raises:
            UnavailableError: torch or the weights are not there.
        """
        outcome = self._fine_tune(folder, checkpoints / "judged", self._corpus.train, self._corpus.validation)
        say("exporting to ONNX, in int8")
        export_onnx(folder, self._corpus.train.texts)
        say("calibrating on the validation texts")
        self._calibrate(folder)
        tier = self._tier(folder)
        if self._recipe.refit:
            say("learning again, with the validation texts among the others")
            self._refit(folder, checkpoints / "refitted", outcome)
        say("measuring what will serve")
        return Provenance(
            base=self._base,
            catalogue=self._catalogue.digest,
            corpus=self._corpus.digest,
            recipe={name: float(value) for name, value in msgspec.structs.asdict(self._recipe).items()},
            seed=self._seed,
            code=version("intentstream"),
            metrics=self._metrics(folder, outcome, tier),
        )

    def _fine_tune(
        self,
        folder: Path,
        checkpoints: Path,
        train: Examples,
        validation: Examples | None,
        *,
        epochs: int | None = None,
    ) -> Outcome:
        """Leave in the folder what a network has learnt that began at the base."""
        labels = tuple(label if label is not None else OUT_OF_SCOPE for label in self._labels)
        base = base_network(self._base, labels, seed=self._seed, folder=folder)
        if base.tokenizer.parent != folder:
            shutil.copyfile(base.tokenizer, folder / TOKENIZER_FILE)
        tokenizer = TextTokenizer(folder / TOKENIZER_FILE)
        checkpoints.mkdir(exist_ok=True)
        outcome = FineTuning(
            base.network,
            Labelled(tokenizer.ids(train.texts), train.truth),
            None if validation is None else Labelled(tokenizer.ids(validation.texts), validation.truth),
            self._recipe,
            epochs=epochs,
            seed=self._seed,
            device=best_device(threads=self._threads),
            folder=checkpoints,
            observe=self._observe,
        ).run()
        base.network.save_pretrained(folder)
        return outcome

    def _refit(self, folder: Path, checkpoints: Path, judged: Outcome) -> None:
        """Let both classifiers learn again, from all texts, and keep what they said of those they had not learnt.

        What was fitted to that stays: it is of a twin that learnt nearly the same, in the same way.
        """
        HeldOut.asked(self._served(folder), self._corpus.validation.texts).save(folder / HELD_OUT_FILE)
        everything = self._corpus.all_but_test
        self._fine_tune(folder, checkpoints, everything, None, epochs=judged.best_epoch)
        export_onnx(folder, everything.texts)
        if (folder / LEXICAL_FILE).is_file():
            temperature = LexicalModel.load(folder / LEXICAL_FILE).temperature
            train_lexical(everything, temperature).save(folder / LEXICAL_FILE)

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

    def _tier(self, folder: Path) -> TierPolicy:
        """Write down, and return, how the release's answers are to be read by those who know no more of it."""
        validation = self._corpus.validation
        if len(validation.texts) < _FEWEST_TO_CALIBRATE:
            return TierPolicy(accuracy=0.0)
        rows = {DISTILBERT: self._served(folder).predict(validation.texts)}
        tier = fit_policy(rows, validation.truth, self._targets, {}).tiers[DISTILBERT]
        _write(folder / TIER_FILE, tier)
        return tier

    def _metrics(self, folder: Path, outcome: Outcome, tier: TierPolicy) -> dict[str, float]:
        metrics = {
            "validation_accuracy": outcome.best_accuracy,
            "best_epoch": float(outcome.best_epoch),
            "epochs": float(outcome.epochs),
            "seconds": round(outcome.seconds, 1),
        }
        test = self._corpus.test
        if test is None:
            return metrics
        rows = tier.calibration.apply(self._served(folder).predict(test.texts))
        judged = judge_rows(rows, test.truth, self._catalogue.labels, tier.out_of_scope)
        return metrics | {f"test_{name}": value for name, value in quality_measures(judged).items()}

    def _served(self, folder: Path) -> DistilbertModel:
        return DistilbertModel(folder, self._catalogue.labels, threads=self._threads)


OUT_OF_SCOPE = "out_of_scope"
"""What the network's own configuration calls it: null is no label there."""


def _write(file: Path, content: msgspec.Struct) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
