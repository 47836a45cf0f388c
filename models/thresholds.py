"""When a tier's answer stands: fitted on texts that no tier was trained on, or else taken from the settings."""

from __future__ import annotations

import msgspec

from models.calibration import Calibration  # noqa: TC001 - msgspec reads it from here


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """One tier's.

    Attributes:
        sure: The least confidence at which its answer stands alone; a less sure one asks the next tier.
        intent: Where no candidate is as likely as this, the text is out of scope.
        out_of_scope: Where out-of-scope is as likely as this, it is the answer, though an intent may be likelier.
        calibration: What its probabilities are read through; None: as they are.
    """

    sure: float = 0.6
    intent: float = 0.25
    out_of_scope: float = 1.0
    calibration: Calibration | None = None


UNFITTED = Thresholds()
"""What counts where nothing could be fitted and the settings say nothing."""
