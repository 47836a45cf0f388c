"""What a worker knows of its tiers, put together for who asks: without a wait, at any time, from the loop of HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from health.model_probe import ModelsState, RouterState, TierState

if TYPE_CHECKING:
    from health.tiers import RecentTurns
    from models.classifier import Classifier
    from streams.brown_out import BrownOut
    from streams.decide import FlaggedClassifier


def models_state(
    classifier: Classifier, decider: FlaggedClassifier, brown_out: BrownOut, turns: RecentTurns
) -> ModelsState:
    """Return how the tiers are, and who picks them.

    Args:
        classifier: That serves.
        decider: Reads the flags.
        brown_out: Says whether utterances wait.
        turns: How the tiers did lately.
    """
    plan = classifier.plan(decider.usual_route())
    remote, breakers, tested = classifier.remote, classifier.breakers, classifier.tested
    tiers = {
        name: TierState(
            wanted=name in plan.route.order,
            missing=tier.missing,
            breaker=breakers[name].value,
            release=remote.identity if tier is remote and remote is not None else classifier.release or None,
            tested=name in tested or (tier is remote and tier.ready),
            fault=tested.get(name),
            latency=turns.latency(name),
            failure=turns.failure(name),
        )
        for name, tier in classifier.tiers.items()
    }
    router = RouterState(
        strategy=plan.route.strategy.value,
        order=plan.route.order,
        brown_out=brown_out.active,
        mix=turns.mix(),
        window_seconds=turns.window_seconds,
        sure={name: fitted.sure for name, fitted in plan.thresholds.items()},
        out_of_scope={name: fitted.out_of_scope for name, fitted in plan.thresholds.items()},
    )
    return ModelsState(release=classifier.release or None, tiers=tiers, router=router)
