"""The flags, each defined once: what it does, what it is unless someone says otherwise, and when it should be gone."""

from __future__ import annotations

import datetime as dt

import msgspec


class FlagDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """One flag. All of them are on or off.

    Attributes:
        name: How code, topics and people call it.
        default: What it is where nothing else decides.
        owner: Who is asked about it.
        description: What being on does.
        remove_after: When the decision it stands for should be made, and the flag be gone.
    """

    name: str
    default: bool
    owner: str
    description: str
    remove_after: dt.date


_NEXT_YEAR = dt.date(2027, 12, 31)
_YEAR_AFTER = dt.date(2028, 12, 31)

DEFINITIONS: tuple[FlagDefinition, ...] = (
    FlagDefinition(
        name="adaptive_routing",
        default=True,
        owner="classification",
        description="Decides for each utterance at which tier to start: cheap ones first, dear ones for the unsure.",
        remove_after=_NEXT_YEAR,
    ),
    FlagDefinition(
        name="ab_testing",
        default=True,
        owner="experiments",
        description="Assigns users to the arms of running experiments.",
        remove_after=_YEAR_AFTER,
    ),
    FlagDefinition(
        name="distilbert_model",
        default=False,
        owner="classification",
        description="Puts the fine-tuned DistilBERT into the chain.",
        remove_after=_NEXT_YEAR,
    ),
    FlagDefinition(
        name="zero_shot_fallback",
        default=True,
        owner="classification",
        description="Puts the zero-shot tier into the chain, between DistilBERT and the rules.",
        remove_after=_NEXT_YEAR,
    ),
    FlagDefinition(
        name="caching",
        default=True,
        owner="operations",
        description="Remembers answers in this process and in Redis.",
        remove_after=_YEAR_AFTER,
    ),
    FlagDefinition(
        name="feedback_learning",
        default=True,
        owner="learning",
        description="Learns from people's corrections, and answers as they corrected.",
        remove_after=_YEAR_AFTER,
    ),
    FlagDefinition(
        name="performance_mode",
        default=False,
        owner="operations",
        description="Starts every utterance at the rules, the fastest tier.",
        remove_after=_YEAR_AFTER,
    ),
    FlagDefinition(
        name="quality_mode",
        default=False,
        owner="classification",
        description="Starts every utterance at DistilBERT, the best tier.",
        remove_after=_YEAR_AFTER,
    ),
    FlagDefinition(
        name="enhanced_logging",
        default=False,
        owner="operations",
        description="Logs how each answer came about; never the text.",
        remove_after=_YEAR_AFTER,
    ),
)
