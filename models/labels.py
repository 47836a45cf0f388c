"""What the columns of a classifier's logits stand for, and how they become the catalogue's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from models.calibration import softmax
from models.prediction import TierUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from models.prediction import Probabilities

_NO_LOGIT = -1e4


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """What a release says of its logits; also the content of `labels.json`.

    Attributes:
        labels: In the logits' order; None is out-of-scope.
        temperature: What the logits are divided by (Guo et al. 2017).
    """

    labels: tuple[str | None, ...]
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class LabelColumns:
    """The way from a release's logits to the columns of the tiers."""

    def __init__(self, told: Labels, labels: Sequence[str]) -> None:
        """Match the release's labels with the catalogue's.

        Args:
            told: Of the release.
            labels: The catalogue's intents, in the order of the tiers' columns.

        Raises:
            TierUnavailableError: The release was trained for another catalogue.
        """
        if len(set(told.labels)) != len(told.labels) or set(told.labels) - {None} != set(labels):
            raise TierUnavailableError("its release was trained for another catalogue")
        columns = {label: column for column, label in enumerate((*labels, None))}
        self._columns = np.array([columns[label] for label in told.labels], np.intp)
        self._classes = len(columns)
        self._temperature = told.temperature

    def probabilities(self, logits: npt.NDArray[np.float32]) -> Probabilities:
        """Return calibrated probabilities; out-of-scope has none where it was not trained.

        Args:
            logits: Shape (texts, the release's labels).
        """
        spread = np.full((len(logits), self._classes), _NO_LOGIT, np.float32)
        spread[:, self._columns] = logits
        return softmax(spread, self._temperature)

    def arranged(self, probabilities: Probabilities) -> Probabilities:
        """Return probabilities over the release's labels, shape (texts, labels), in the tiers' columns."""
        spread = np.zeros((len(probabilities), self._classes), np.float32)
        spread[:, self._columns] = probabilities
        return spread
