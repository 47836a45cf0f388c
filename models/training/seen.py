"""What fine-tuning tells whoever watches it."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What an observer is told after a step.

    Attributes:
        step: Steps done of `steps`.
        steps: All there may be; validation may end it before.
        epoch: From 1.
        loss: Mean over this epoch's texts so far.
        accuracy: Over them, from 0 to 1.
        validation_accuracy: Of the best epoch so far, or of the fitted head where none is better; None: nothing is
            held out.
        seconds_left: At the pace so far.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    accuracy: float
    validation_accuracy: float | None
    seconds_left: float


class Observer(Protocol):
    """Whoever wants to know how it goes."""

    def __call__(self, seen: Seen) -> None:
        """Hear of a step."""
