"""Fits the policy of a catalogue's chain once, on texts held out for it, and keeps it beside the prepared models."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import msgspec

from models.artefacts import prepared, whole
from models.policy import NO_POLICY, Policy
from models.prediction import TierUnavailableError
from models.router import DISTILBERT

if TYPE_CHECKING:
    from pathlib import Path

    from models.catalogue import Catalogue
    from models.prediction import Model
    from models.preparation import Preparation
    from models.training.corpus import Corpus
    from schemas.settings import Settings

_FILE = "policy.json"
_CORPUS, _EXAMPLES = "corpus", "examples"
_DIGITS = 12

_VERSION = 6
"""Raised whenever the same texts would teach otherwise."""


class Fitting:
    """The policy for one catalogue's prepared models. Everything here blocks: call it off the event loop."""

    def __init__(self, settings: Settings, catalogue: Catalogue, preparation: Preparation) -> None:
        """Take what is to be put to the test; what is fitted lies in `models` under the state folder."""
        self._root: Path = settings.state_folder / "models"
        self._settings = settings
        self._catalogue = catalogue
        self._preparation = preparation

    def policy(self) -> Policy:
        """Return the policy: one fitted to a corpus if there is any, else one for which examples were held out.

        Of the fine-tuned tier, which may have learnt every example, the latter knows what its release says.

        Raises:
            UnavailableError: The encoder's weights are not installed.
        """
        if whole(self._root / self._name(_CORPUS)):
            return Policy.load(self._root / self._name(_CORPUS) / _FILE)
        from models.training.corpus import InvalidCorpusError, read_corpus  # noqa: PLC0415 - serving needs none of it

        def make(folder: Path) -> None:
            try:
                corpus = read_corpus(self._catalogue, None)
            except InvalidCorpusError:  # too few examples to spare one: every tier is taken at its word
                NO_POLICY.save(folder / _FILE)
            else:
                self._fit(corpus, {}).save(folder / _FILE)

        policy = Policy.load(prepared(self._root, self._name(_EXAMPLES), make) / _FILE)
        tuned = self._preparation.tuned_tier()
        return policy.joined(DISTILBERT, tuned) if tuned else policy

    def policy_by(self, corpus: Corpus) -> Policy:
        """Return the policy that a corpus's validation texts teach, of the fine-tuned tier before it learnt those."""

        def make(folder: Path) -> None:
            try:
                tuned: dict[str, Model] = {DISTILBERT: self._preparation.distilbert().stand_in()}
            except TierUnavailableError:
                tuned = {}
            self._fit(corpus, tuned).save(folder / _FILE)

        folder = self._root / self._name(_CORPUS)
        if whole(folder) and Policy.load(folder / _FILE).corpus != corpus.digest:
            shutil.rmtree(folder)
        return Policy.load(prepared(self._root, folder.name, make) / _FILE)

    def _fit(self, corpus: Corpus, tuned: dict[str, Model]) -> Policy:
        from models.training.validation import fit_on_held_out  # noqa: PLC0415 - imports scikit-learn

        return fit_on_held_out(self._catalogue, corpus, self._preparation, tuned, self._settings)

    def _name(self, fitted_to: str) -> str:
        chain = self._settings.chain
        targets = msgspec.json.encode(
            [chain.tolerated_loss, chain.escalated_share, chain.out_of_scope_loss, self._settings.models.promise]
        )
        # The examples teach nothing of the fine-tuned tier, and so need not be asked again for another.
        models = self._preparation.release if fitted_to == _CORPUS else self._preparation.base
        content = [models, str(_VERSION), targets.decode(), fitted_to]
        return "policy-" + hashlib.sha256("\n".join(content).encode()).hexdigest()[:_DIGITS]
