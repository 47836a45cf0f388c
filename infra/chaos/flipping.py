"""Somebody who changes flags all the while."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from flags.edits import Edit
from infra.background import Background
from schemas.errors import IntentStreamError

if TYPE_CHECKING:
    from flags.writer import Writer

FLIPPED = ("adaptive_routing", "performance_mode", "quality_mode", "zero_shot_fallback", "caching", "feedback_learning")
_EVERY_SECONDS = 0.5


class Flipping(Background):
    """Changes one flag after another, on a thread of its own. Use as a context manager.

    Args:
        writer: Writes the changes.
        seed: Of which and to what.

    Attributes:
        flips: How many stand in the log, as far as the writer knows.
        refused: How many could not be written, because the broker was away.
    """

    def __init__(self, writer: Writer, *, seed: int) -> None:
        super().__init__("chaos-flips")
        self.flips = 0
        self.refused = 0
        self._writer = writer
        self._chance = Random(seed)  # noqa: S311 - keeps no secret

    def run(self) -> None:
        """Change one flag after another."""
        while not self.ending.wait(_EVERY_SECONDS):
            fields = {"enabled": self._chance.random() < 0.5, "rollout_percentage": float(self._chance.randrange(101))}  # noqa: PLR2004 - a coin
            edit = Edit(name=self._chance.choice(FLIPPED), fields=fields, changed_by="chaos", reason="chaos")
            try:
                self._writer.write(edit)
            except IntentStreamError:
                self.refused += 1
            else:
                self.flips += 1
