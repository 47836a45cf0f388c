"""Held-out texts decide how confidence is read and whose answer stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.calibration import Calibration, softmax
from models.measures import adaptive_calibration_error
from models.policy import NO_POLICY, Policy, TierPolicy
from models.router import DISTILBERT, RULES, ZERO_SHOT, route
from models.thresholds import UNFITTED
from models.training.calibration import LeftOut, fit_calibration
from models.training.policy import Targets, fit_policy, stand
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from models.prediction import Probabilities

CLASSES = 6
OUTSIDE = CLASSES - 1


def said(truth: npt.NDArray[np.intp], knowledge: float, *, sureness: float = 1.0, seed: int = 0) -> Probabilities:
    """Return a tier's rows: the more it knows, the more often right; calibrated where its sureness is 1."""
    noise = np.random.default_rng(seed).normal(size=(len(truth), CLASSES))
    logits = noise + knowledge * np.eye(CLASSES)[truth]
    logits[truth == OUTSIDE] = noise[truth == OUTSIDE]
    logits[:, OUTSIDE] = -1.0
    return softmax((sureness * knowledge * logits).astype(np.float32))


def truths(texts: int, *, outside: int = 0, seed: int = 1) -> npt.NDArray[np.intp]:
    inside = np.random.default_rng(seed).integers(0, OUTSIDE, texts)
    return np.concatenate((inside, np.full(outside, OUTSIDE)))


def calibration_of(rows: Probabilities, truth: npt.NDArray[np.intp]) -> float:
    shares = rows[:, :-1] / rows[:, :-1].sum(axis=1, keepdims=True)
    return adaptive_calibration_error(shares.max(axis=1), shares.argmax(axis=1) == truth)


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration(),
        Calibration(slope=0.4, offset=-2.0, beyond_offset=-1.0, beyond_by_best=-0.3, beyond_by_own=0.5),
        Calibration(slope=3.0, offset=1.0, beyond_offset=4.0, beyond_by_best=-2.0, beyond_by_own=0.0),
    ],
)
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 100.0])
def test_a_calibrated_row_is_a_row_of_probabilities_with_the_same_best_intent(
    calibration: Calibration, sharpness: float
) -> None:
    rows = softmax(np.random.default_rng(0).normal(size=(500, 20)).astype(np.float32), 1 / sharpness)
    calibrated = calibration.apply(rows)
    assert calibrated.dtype == np.float32
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-5)
    assert (calibrated >= 0).all()
    before, after = rows[:, :-1], calibrated[:, :-1]
    best = before.argmax(axis=1)
    assert (after[np.arange(500), best] >= after.max(axis=1) - 1e-6).all()
    told_apart = np.diff(np.sort(before, axis=1)[:, -2:])[:, 0] > 0  # in float32 two may have been 1, the others 0
    assert (after.argmax(axis=1) == best)[told_apart].all()


def test_by_default_calibration_changes_nothing() -> None:
    rows = said(truths(200), 2.0)
    np.testing.assert_allclose(Calibration().apply(rows), rows, atol=1e-5)


@pytest.mark.parametrize("sureness", [0.4, 3.0])
def test_a_tier_that_is_too_sure_or_not_sure_enough_is_put_right(sureness: float) -> None:
    learnt, fresh = truths(3000, seed=1), truths(3000, seed=2)
    calibration = fit_calibration(said(learnt, 2.5, sureness=sureness, seed=3), learnt, None)
    before = said(fresh, 2.5, sureness=sureness, seed=4)
    assert calibration_of(before, fresh) > 0.05
    assert calibration_of(calibration.apply(before), fresh) < 0.03


def test_a_calibrated_tier_is_left_as_it_is() -> None:
    truth = truths(1000)
    logits = np.random.default_rng(0).normal(size=(len(truth), CLASSES)).astype(np.float32)
    logits[:, OUTSIDE] = -30
    rows = softmax(3 * logits)
    told = (rows.cumsum(axis=1) < np.random.default_rng(1).random((len(truth), 1))).sum(axis=1)  # drawn as they say
    calibration = fit_calibration(rows, told, None)
    assert (calibration.slope, calibration.offset) == (1.0, 0.0)


def test_out_of_scope_is_learnt_from_texts_that_are() -> None:
    learnt, fresh = truths(2000, outside=100, seed=1), truths(2000, outside=100, seed=2)
    calibration = fit_calibration(said(learnt, 4.0, seed=3), learnt, None)
    beyond = calibration.apply(said(fresh, 4.0, seed=4))[:, -1]
    assert np.median(beyond[fresh == OUTSIDE]) > 10 * np.median(beyond[fresh < OUTSIDE])


def test_where_no_text_is_out_of_scope_intents_left_out_stand_for_it() -> None:
    inside, beyond = truths(500, seed=5), truths(0, outside=200)
    left_out = LeftOut(said(inside, 4.0, seed=6), said(beyond, 4.0, seed=7))
    truth, fresh = truths(2000, seed=1), truths(500, outside=500, seed=2)
    calibration = fit_calibration(said(truth, 4.0, seed=3), truth, left_out)
    found = calibration.apply(said(fresh, 4.0, seed=4))[:, -1]
    assert found[fresh == OUTSIDE].mean() > 3 * found[fresh < OUTSIDE].mean()


@pytest.fixture(scope="module")
def held_out() -> tuple[dict[str, Probabilities], npt.NDArray[np.intp]]:
    truth = truths(4000, outside=200)
    return {RULES: said(truth, 2.5, seed=1), ZERO_SHOT: said(truth, 3.5, seed=2)}, truth


@pytest.fixture(scope="module")
def policy(held_out: tuple[dict[str, Probabilities], npt.NDArray[np.intp]]) -> Policy:
    return fit_policy(*held_out, Targets(), {})


def accuracy(standing_rows: Probabilities, truth: npt.NDArray[np.intp]) -> float:
    inside = truth < OUTSIDE
    return float((standing_rows[inside, :-1].argmax(axis=1) == truth[inside]).mean())


def test_the_cascade_is_as_good_as_the_better_tier_and_asks_it_for_a_part(policy: Policy) -> None:
    truth = truths(20_000, seed=9)
    fresh = {RULES: said(truth, 2.5, seed=8), ZERO_SHOT: said(truth, 3.5, seed=7)}
    adaptive, best = stand(policy, Strategy.ADAPTIVE, fresh), stand(policy, Strategy.STANDARD, fresh)
    assert accuracy(adaptive.rows, truth) >= accuracy(best.rows, truth) - 0.003
    assert 0.05 < (adaptive.tier > 0).mean() < 0.9


def test_tolerating_more_loss_asks_the_better_tier_less(
    held_out: tuple[dict[str, Probabilities], npt.NDArray[np.intp]],
) -> None:
    rows, truth = held_out
    shares = [
        (stand(fit_policy(rows, truth, Targets(tolerated_loss=loss), {}), Strategy.ADAPTIVE, rows).tier > 0).mean()
        for loss in (0.0, 0.01, 0.05)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_a_cheaper_tier_that_is_better_by_chance_alone_is_not_put_before_a_dearer_one() -> None:
    truth = truths(500)
    alike = {RULES: said(truth, 3.0, seed=1), ZERO_SHOT: said(truth, 3.0, seed=2)}
    far_better = {RULES: said(truth, 5.0, seed=1), ZERO_SHOT: said(truth, 1.0, seed=2)}
    assert [next(iter(fit_policy(rows, truth, Targets(), {}).tiers)) for rows in (alike, far_better)] == [
        ZERO_SHOT,
        RULES,
    ]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_a_target_cost_is_a_share_of_texts_that_go_on(
    held_out: tuple[dict[str, Probabilities], npt.NDArray[np.intp]], share: float
) -> None:
    rows, truth = held_out
    fitted = fit_policy(rows, truth, Targets(escalated_share=share), {})
    inside = truth < OUTSIDE
    assert (stand(fitted, Strategy.ADAPTIVE, rows).tier[inside] > 0).mean() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("loss", [0.01, 0.05])
def test_no_more_right_answers_are_given_up_for_out_of_scope_than_may_be(
    held_out: tuple[dict[str, Probabilities], npt.NDArray[np.intp]], loss: float
) -> None:
    rows, truth = held_out
    fitted = fit_policy(rows, truth, Targets(out_of_scope_loss=loss), {})
    standing = stand(fitted, Strategy.STANDARD, rows)
    right = (standing.rows[:, :-1].argmax(axis=1) == truth) & (truth < OUTSIDE)
    given_up = (right & (standing.answered == OUTSIDE)).sum() / (truth < OUTSIDE).sum()
    assert 0 < given_up <= loss + 1e-9


def test_the_promise_is_kept_on_other_texts(
    held_out: tuple[dict[str, Probabilities], npt.NDArray[np.intp]],
) -> None:
    policy = fit_policy(*held_out, Targets(promise=0.97), {})
    truth = truths(20_000, outside=1000, seed=11)
    fresh = {RULES: said(truth, 2.5, seed=12), ZERO_SHOT: said(truth, 3.5, seed=13)}
    standing = stand(policy, Strategy.ADAPTIVE, fresh)
    alone = standing.confidence >= policy.automatic["adaptive"]
    assert 0.1 < alone.mean() < 1
    assert (standing.answered == truth)[alone].mean() >= 0.97


def test_without_a_policy_a_route_stays_as_it_is() -> None:
    way = route(Strategy.ADAPTIVE, distilbert=True, zero_shot=True)
    assert NO_POLICY.plan(way) == (way, {})


RANKED = Policy(
    tiers={
        DISTILBERT: TierPolicy(accuracy=0.96),
        ZERO_SHOT: TierPolicy(accuracy=0.93, sure_before={DISTILBERT: 0.95}),
        RULES: TierPolicy(accuracy=0.9, sure_before={ZERO_SHOT: 0.7, DISTILBERT: 0.8}),
    },
    texts=1000,
)


def test_adaptive_asks_the_best_tier_after_the_rules_and_lets_it_stand() -> None:
    plan = RANKED.plan(route(Strategy.ADAPTIVE, distilbert=True, zero_shot=True))
    assert plan.route.order == (RULES, DISTILBERT, ZERO_SHOT)
    assert [plan.thresholds[name].sure for name in plan.route.order] == [0.8, 0.0, 0.0]


def test_the_rules_need_to_be_as_sure_as_the_tier_behind_them_is_good() -> None:
    plan = RANKED.plan(route(Strategy.ADAPTIVE, distilbert=False, zero_shot=True))
    assert [plan.thresholds[name].sure for name in plan.route.order] == [0.7, 0.0]


def test_where_the_rules_are_best_standard_asks_them_first() -> None:
    policy = Policy(tiers={RULES: TierPolicy(accuracy=0.9), ZERO_SHOT: TierPolicy(accuracy=0.8)}, texts=100)
    assert policy.plan(route(Strategy.STANDARD, distilbert=False, zero_shot=True)).route.order == (RULES, ZERO_SHOT)


def test_a_tier_that_was_never_put_to_the_test_is_taken_for_the_best() -> None:
    policy = Policy(tiers={name: RANKED.tiers[name] for name in (ZERO_SHOT, RULES)}, texts=100)
    plan = policy.plan(route(Strategy.ADAPTIVE, distilbert=True, zero_shot=True))
    assert plan.route.order == (RULES, DISTILBERT, ZERO_SHOT)
    assert DISTILBERT not in plan.thresholds
    assert plan.thresholds[RULES].sure == 0.8


def test_a_tier_that_only_its_release_knows_is_the_best_and_decides_by_what_that_says() -> None:
    known = Policy(
        tiers={ZERO_SHOT: TierPolicy(accuracy=0.9), RULES: TierPolicy(accuracy=0.8, sure_before={ZERO_SHOT: 0.7})}
    )
    joined = known.joined(DISTILBERT, TierPolicy(accuracy=0.95, out_of_scope=0.2))
    plan = joined.plan(route(Strategy.STANDARD, distilbert=True, zero_shot=True))
    assert plan.route.order == (DISTILBERT, ZERO_SHOT, RULES)
    assert (plan.thresholds[DISTILBERT].out_of_scope, plan.thresholds[DISTILBERT].sure) == (0.2, 0.0)
    adaptive = joined.plan(route(Strategy.ADAPTIVE, distilbert=True, zero_shot=True))
    assert adaptive.thresholds[RULES].sure == 0.7


def test_what_was_fitted_beside_the_others_counts_more_than_what_a_release_says() -> None:
    known = Policy(tiers={DISTILBERT: TierPolicy(accuracy=0.9, out_of_scope=0.3)})
    assert known.joined(DISTILBERT, TierPolicy(accuracy=0.95, out_of_scope=0.2)) == known
    assert NO_POLICY.joined(DISTILBERT, TierPolicy(accuracy=0.95)) == NO_POLICY


def test_quality_asks_distilbert_first_whatever_it_is_worth() -> None:
    policy = Policy(tiers={name: RANKED.tiers[name] for name in (ZERO_SHOT, RULES, DISTILBERT)}, texts=100)
    order = policy.plan(route(Strategy.QUALITY, distilbert=True, zero_shot=True)).route.order
    assert order == (DISTILBERT, ZERO_SHOT, RULES)


def test_performance_keeps_its_order() -> None:
    way = route(Strategy.PERFORMANCE, distilbert=True, zero_shot=True)
    assert RANKED.plan(way).route == way


def test_a_policy_is_read_as_it_was_written(policy: Policy, tmp_path: Path) -> None:
    policy.save(tmp_path / "policy.json")
    assert Policy.load(tmp_path / "policy.json") == policy
    assert Policy.load(tmp_path / "policy.json").digest == policy.digest != NO_POLICY.digest


def test_defaults_ask_for_what_the_documentation_says() -> None:
    assert (UNFITTED.sure, UNFITTED.intent, UNFITTED.out_of_scope) == (0.6, 0.25, 1.0)


def test_a_few_texts_do_not_tell_from_where_on_a_text_is_out_of_scope() -> None:
    few, enough = (fit_policy({RULES: said(truth, 2.0)}, truth, Targets(), {}) for truth in (truths(20), truths(2_000)))
    assert few.tiers[RULES].out_of_scope == 1.0
    assert enough.tiers[RULES].out_of_scope < 1.0
