"""Which tiers a strategy asks, in which order."""

from __future__ import annotations

import pytest

from models.router import choose_strategy, route
from schemas.strategies import Strategy


@pytest.mark.parametrize(
    ("adaptive", "performance", "quality", "chosen"),
    [
        (True, False, False, Strategy.ADAPTIVE),
        (False, False, False, Strategy.STANDARD),
        (True, True, False, Strategy.PERFORMANCE),
        (True, False, True, Strategy.QUALITY),
        (False, True, True, Strategy.QUALITY),
    ],
)
def test_flags_choose_a_strategy_and_quality_wins(
    *, adaptive: bool, performance: bool, quality: bool, chosen: Strategy
) -> None:
    assert choose_strategy(adaptive_routing=adaptive, performance_mode=performance, quality_mode=quality) is chosen


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        (Strategy.STANDARD, ("distilbert", "zero_shot", "rules")),
        (Strategy.ADAPTIVE, ("rules", "zero_shot", "distilbert")),
        (Strategy.PERFORMANCE, ("rules", "zero_shot", "distilbert")),
        (Strategy.QUALITY, ("distilbert", "zero_shot", "rules")),
    ],
)
def test_a_strategy_is_an_order_of_tiers(strategy: Strategy, order: tuple[str, ...]) -> None:
    assert route(strategy, distilbert=True, zero_shot=True).order == order


@pytest.mark.parametrize("strategy", Strategy)
def test_rules_are_always_asked(strategy: Strategy) -> None:
    assert "rules" in route(strategy, distilbert=False, zero_shot=False).order


@pytest.mark.parametrize("strategy", [each for each in Strategy if each is not Strategy.QUALITY])
def test_a_tier_switched_off_is_left_out(strategy: Strategy) -> None:
    assert route(strategy, distilbert=False, zero_shot=False).order == ("rules",)


def test_only_performance_lets_an_unsure_answer_stand() -> None:
    escalating = {strategy for strategy in Strategy if route(strategy, distilbert=False, zero_shot=True).escalate}
    assert escalating == set(Strategy) - {Strategy.PERFORMANCE}
