"""Teaches a network what people corrected since its owner trained it, and holds it against the one that serves.

It always begins at the owner's network, so that what was forgotten is in nothing that is made later. Half of the
corrections that the champion has not learnt are kept from a twin, which is asked about them and about what both know.
If that is better by more than chance, another learns all of it, and that one is what may serve.

Training needs torch, which is large, and the processor for minutes: `models.training.apart` does this in a process of
its own.
"""

from __future__ import annotations

import hashlib
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

_RECIPE = Recipe(epochs=2, learning_rate=1e-4, head_learning_rate=1e-4)
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
        self._recipe = recipe
        self._device = best_device(threads=assignment.threads)

    def attempt(self) -> Contest:
        """Hold a twin against the champion, and if it is better, write the release.

        Raises:
            UnavailableError: torch is not there, or the owner's release holds nothing that can be trained.
        """
        held_out = [said for said in self._task.new if _lot(said[0])]
        rest = [said for said in self._task.new if not _lot(said[0])]
        asked = [*self._task.known, *held_out]
        with tempfile.TemporaryDirectory() as scratch:
            twin = Path(scratch) / "twin"
            twin.mkdir()
            self._train([*self._task.known, *rest], twin)
            champion, challenger = (
                DistilbertModel(folder, self._task.labels, threads=self._task.threads)
                .predict([text for text, _ in asked])
                .argmax(axis=1)
                for folder in (Path(self._task.champion), twin)
            )
        contest = hold(
            champion,
            challenger,
            np.array([column for _, column in asked], np.intp),
            np.arange(len(asked)) >= len(self._task.known),
            labels=(*self._task.labels, None),
        )
        if contest.promoted:
            make_release(Path(self._task.out), lambda folder: self._write(folder, contest))
        return contest

    def _write(self, folder: Path, contest: Contest) -> Provenance:
        self._train([*self._task.known, *self._task.new], folder)
        (folder / TAUGHT_FILE).write_bytes(msgspec.json.encode(self._task.taught))
        owners = read_release(self._owner).provenance
        return msgspec.structs.replace(
            owners,
            code=version("intentstream"),
            base=self._task.taught.owner,
            recipe={name: float(value) for name, value in msgspec.structs.asdict(self._recipe).items()},
            seed=self._task.seed,
            metrics=contest.metrics,
        )

    def _train(self, labelled: Sequence[Said], folder: Path) -> None:
        """Leave in a folder the owner's release with a network that has learnt more; all but that is as it was."""
        for file in self._owner.iterdir():
            if file.name != MANIFEST_FILE:
                shutil.copyfile(file, folder / file.name)
        told = msgspec.json.decode((folder / LABELS_FILE).read_bytes(), type=Labels)
        places = {label: place for place, label in enumerate(told.labels)}
        labels = (*self._task.labels, None)
        learnt = [
            (text, places[labels[column]])
            for text, column in (*self._task.guessed, *_TIMES * tuple(labelled))
            if labels[column] in places
        ]
        texts = [text for text, _ in learnt]
        network = trained_network(self._owner)
        with tempfile.TemporaryDirectory() as checkpoints:
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


def _lot(text: str) -> bool:
    """Return whether a new correction is kept from the twin: half of them are, the same ones each time."""
    return bool(hashlib.sha256(text.encode()).digest()[0] & 1)
