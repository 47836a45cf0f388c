"""The routing strategies, by the names that flags, results and people use for them."""

from __future__ import annotations

import enum


class Strategy(enum.StrEnum):
    """What a route is good for."""

    STANDARD = "standard"
    """The best tier there is, the others where it fails or is unsure."""
    ADAPTIVE = "adaptive"
    """A cascade: the cheapest tier first, the dearer ones for what it is unsure of."""
    PERFORMANCE = "performance"
    """The cheapest tier answers, sure or not; another only where it fails."""
    QUALITY = "quality"
    """The fine-tuned model first, whether it is the fashion or not."""
