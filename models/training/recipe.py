"""How fine-tuning goes: the numbers a person may want to change, and the learning rates that follow from them."""

from __future__ import annotations

import math

import msgspec


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """The same for every data set; chosen on validation texts of CLINC150, BANKING77 and SNIPS.

    Attributes:
        epochs: Walks over the training texts, unless validation ends it before.
        patience_epochs: It ends after so many epochs without a lower validation loss.
        batch_texts: Texts in a step.
        learning_rate: The last layer's, at its peak.
        layer_decay: What a layer's learning rate is of the next one's (Howard and Ruder 2018, arXiv 1801.06146).
        head_learning_rate: The head's, at its peak.
        warm_up_share: Of all steps; the rates rise over these and then fall in a line to nothing.
        weight_decay: Of matrices; biases and norms have none.
        label_smoothing: What the right class gives to all (Szegedy et al. 2016, arXiv 1512.00567).
        gradient_norm: The most; longer ones are cut to it.
        averaged_share: Of all steps; about so many go into the average of the weights that is judged and kept
            (`models.training.averaging`).
        refit: Whether, once validation has told the best epoch and all that is fitted, it learns again, with the
            validation texts among the others.
    """

    epochs: int = 3
    patience_epochs: int = 3
    batch_texts: int = 32
    learning_rate: float = 2e-4
    layer_decay: float = 0.9
    head_learning_rate: float = 2e-4
    warm_up_share: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    gradient_norm: float = 1.0
    averaged_share: float = 0.2
    refit: bool = True

    def steps_per_epoch(self, texts: int) -> int:
        """Return how many steps walk over so many texts."""
        return math.ceil(texts / self.batch_texts)

    def rate_share(self, step: int, steps: int) -> float:
        """Return what the learning rates are of their peaks in a step, counted from 0."""
        warm_up = max(1, round(self.warm_up_share * steps))
        return min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))
