"""The NLI model for one catalogue, calibrated on its examples the first time and kept as one number."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from models.artefacts import prepared
from models.nli import NliModel, hypotheses_of
from models.nli_pipeline import nli_identity, open_pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from models.catalogue import Catalogue
    from schemas.zero_shot import ZeroShot

_TEMPERATURE_FILE = "temperature.json"
_DIGITS = 12


class NliPreparation:
    """What it takes to serve one. Everything here blocks: call it off the event loop."""

    def __init__(self, asked: ZeroShot, catalogue: Catalogue, root: Path, *, threads: int) -> None:
        """Take what is asked for.

        Args:
            asked: Names the model and how to ask it.
            catalogue: The intents.
            root: Where prepared folders lie.
            threads: Of torch.
        """
        self._asked = asked
        self._catalogue = catalogue
        self._root = root
        self._threads = threads
        self._hypotheses = hypotheses_of(catalogue, asked)

    @cached_property
    def name(self) -> str:
        """Return the prepared folder's name, with 12 hex digits of all that its answers depend on."""
        asked = self._asked
        parts = (self._catalogue.digest, nli_identity(asked), *self._hypotheses, str(asked.calibration_texts))
        return "nli-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_DIGITS]

    def model(self) -> NliModel:
        """Return it, calibrated.

        Raises:
            UnavailableError: torch or transformers is not installed, or there is no such model.
        """
        asked = self._asked
        opened = NliModel(open_pipeline(asked, threads=self._threads), self._hypotheses, max_batch=asked.max_batch)

        def make(folder: Path) -> None:
            from models.training.nli import fit_nli_temperature  # noqa: PLC0415 - imports scipy

            temperature = fit_nli_temperature(opened, self._catalogue, most=asked.calibration_texts)
            (folder / _TEMPERATURE_FILE).write_bytes(msgspec.json.encode(temperature))

        fitted = prepared(self._root, self.name, make) / _TEMPERATURE_FILE
        return opened.told(self._hypotheses, msgspec.json.decode(fitted.read_bytes(), type=float))
