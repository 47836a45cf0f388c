"""Where a batch starts and how it goes on: a strategy, picked by whoever reads the flags, becomes an order of tiers."""

from __future__ import annotations

from typing import NamedTuple

from schemas.strategies import Strategy

DISTILBERT, ZERO_SHOT, RULES = "distilbert", "zero_shot", "rules"


class Route(NamedTuple):
    """How the chain walks."""

    strategy: Strategy
    order: tuple[str, ...]
    escalate: bool
    """Whether texts that a tier is unsure of go on to the next."""


def choose_strategy(*, adaptive_routing: bool, performance_mode: bool, quality_mode: bool) -> Strategy:
    """Pick a strategy; asked for both, quality wins over performance, for a wrong answer costs more than a late one."""
    if quality_mode:
        return Strategy.QUALITY
    if performance_mode:
        return Strategy.PERFORMANCE
    return Strategy.ADAPTIVE if adaptive_routing else Strategy.STANDARD


def route(strategy: Strategy, *, distilbert: bool, zero_shot: bool) -> Route:
    """Return the order in which the tiers are asked; `rules` is always among them.

    Args:
        strategy: What the route is to be good for.
        distilbert: Whether that tier may be asked. `Strategy.QUALITY` asks it all the same.
        zero_shot: Whether that tier may be asked.
    """
    best = [DISTILBERT] * (distilbert or strategy is Strategy.QUALITY) + [ZERO_SHOT] * zero_shot
    match strategy:
        case Strategy.ADAPTIVE:
            return Route(strategy, (RULES, *reversed(best)), escalate=True)
        case Strategy.PERFORMANCE:
            return Route(strategy, (RULES, *reversed(best)), escalate=False)
        case Strategy.STANDARD | Strategy.QUALITY:
            return Route(strategy, (*best, RULES), escalate=True)
