"""Teaches a network what people corrected since its owner trained it, and holds it against the one that serves.

It always begins at the owner's network, so that what was forgotten is in nothing that is made later. Half of the
corrections that the champion has not learnt are kept from a twin, which is asked about them and about what the champion
has right. If it is better by more than chance, another learns all of it, and that one is what may serve.

Training needs torch, which is large, and the processor for minutes: `models.training.apart` does this in a process of
its own.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from models.distilbert import LABELS_FILE, TOKENIZER_FILE, DistilbertModel
from models.labels import Labels
from models.release import MANIFEST_FILE, Provenance, make_release, read_release
from models.taught_network import TAUGHT_FILE
from models.tokens import TextTokenizer
from models.training.contest import Contest, hold
from models.training.device import best_device
from models.training.export import export_onnx
from models.training.fine_tuning import FineTuning, Labelled
from models.training.network import trained_network
from models.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.training.assignment import Assignment, Said

_RECIPE = Recipe(epochs=2, learning_rate=1e-4, head_learning_rate=1e-4, refit=False)
_TOO_FEW = "There are too few new corrections to keep some from a twin."
_TIMES = 2
"""How often a text that somebody labelled is learnt where one that was guessed is learnt once."""


class Further:
    """One attempt; blocking, for minutes.

    Args:
        assignment: What it learns.
        recipe: How.
    """

    def __init__(self, assignment: Assignment, *, recipe: Recipe = _RECIPE) -> None:
        self._task = assignment
        self._owner = Path(assignment.owner)
        self._scratch = Path(assignment.out).parent  # whoever asked takes it away, whatever becomes of this process
        self._recipe = recipe
        self._device = best_device(threads=assignment.threads)

    def attempt(self) -> Contest:
        """Hold a twin against the champion, and if it is better, write the release.

        Raises:
            UnavailableError: torch is not there, or the owner's release holds nothing that can be trained.
        """
        task = self._task
        if not (task.held_out and task.shown):
            return Contest("no_better", _TOO_FEW, texts=0, champion=0, challenger=0, p_value=1.0, falls={})
        with tempfile.TemporaryDirectory(dir=self._scratch) as twin:
            self._train((*task.known, *task.shown), task.guessed_by_twin, Path(twin))
            contest = self._hold(Path(twin))
        if contest.promoted:
            make_release(Path(task.out), lambda folder: self._write(folder, contest))
        return contest

    def _hold(self, twin: Path) -> Contest:
        """Ask champion and twin about what the twin has not learnt, and about what the champion has right.

        The twin has just learnt what both are to know: that it has more of it right would say nothing.
        """
        task = self._task
        asked = (*task.known, *task.held_out)
        texts, truth = [text for text, _ in asked], np.array([column for _, column in asked], np.intp)
        champion, challenger = (
            DistilbertModel(folder, task.labels, threads=task.threads).predict(texts).argmax(axis=1)
            for folder in (Path(task.champion), twin)
        )
        new = np.arange(len(asked)) >= len(task.known)
        counts = new | (champion == truth)
        return hold(champion[counts], challenger[counts], truth[counts], new[counts], labels=(*task.labels, None))

    def _write(self, folder: Path, contest: Contest) -> Provenance:
        task = self._task
        self._train((*task.known, *task.shown, *task.held_out), task.guessed, folder)
        (folder / TAUGHT_FILE).write_bytes(msgspec.json.encode(task.taught))
        owners = read_release(self._owner).provenance
        return msgspec.structs.replace(
            owners,
            code=version("intentstream"),
            base=task.taught.owner,
            recipe={name: float(value) for name, value in msgspec.structs.asdict(self._recipe).items()},
            seed=task.seed,
            metrics=contest.metrics,
        )

    def _train(self, labelled: Sequence[Said], guessed: Sequence[Said], folder: Path) -> None:
        """Leave in a folder the owner's release with a network that has learnt more; all but that is as it was."""
        for file in self._owner.iterdir():
            if file.name != MANIFEST_FILE:
                shutil.copyfile(file, folder / file.name)
        told = msgspec.json.decode((folder / LABELS_FILE).read_bytes(), type=Labels)
        places = {label: place for place, label in enumerate(told.labels)}
        labels = (*self._task.labels, None)
        learnt = [
            (text, places[labels[column]])
            for text, column in (*guessed, *_TIMES * tuple(labelled))
            if labels[column] in places
        ]
        texts = [text for text, _ in learnt]
        network = trained_network(self._owner)
        with tempfile.TemporaryDirectory(dir=self._scratch) as checkpoints:
            FineTuning(
                network,
                Labelled(
                    TextTokenizer(folder / TOKENIZER_FILE).ids(texts), np.array([place for _, place in learnt], np.intp)
                ),
                None,
                self._recipe,
                fits_head=False,
                seed=self._task.seed,
                device=self._device,
                folder=Path(checkpoints),
                observe=lambda _: None,
            ).run()
        network.save_pretrained(folder)
        export_onnx(folder, texts)
