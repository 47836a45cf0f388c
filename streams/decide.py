"""Decides about utterances: the flags say for each user which way to go, the classifier goes it."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
import structlog

from flags.compiling import Reason
from flags.evaluation import Context, utterance_attributes
from flags.experiments.assignment import Experiments
from health.logs import describe_fault
from models.learning.recollection import NOTHING, Recollection
from models.router import choose_strategy, route
from schemas.events import Utterance
from schemas.strategies import Strategy
from streams.decision_log import log_decision
from streams.results import Decision
from streams.trials.flag import flag_of, is_candidates_flag

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from flags.evaluation import Snapshot
    from models.answer import Answer
    from models.classifier import Classifier
    from models.learning.corrector import Corrector
    from models.router import Route
    from models.serving import Candidate, Serving
    from schemas.cloudevents import Received
    from streams.brown_out import BrownOut
    from streams.trials.shadow import Shadow

_log = structlog.get_logger(__name__)

FLAGS = (
    "adaptive_routing",
    "performance_mode",
    "quality_mode",
    "distilbert_model",
    "zero_shot_fallback",
    "caching",
    "ab_testing",
    "enhanced_logging",
    "feedback_learning",
)
"""The flags that a decision asks, for each user."""


_NOBODY = Utterance(text="-")

BROWN_OUT = "brown-out: utterances wait, and the first answer stands"
"""Why the first tier was asked and no other."""

_MOST_PORTIONS = 8
"""Of a batch whose users are being compared; each costs a call of the cache and of the tiers."""


class FlagsObserver(Protocol):
    """Who counts evaluations. Called on the event loop, once a batch; must not block."""

    def flag_evaluated(self, flag: str, variant: str, utterances: int) -> None:
        """Count what a flag was for so many utterances."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class _Way(NamedTuple):
    """How a user's utterances are classified."""

    route: Route
    caching: bool
    states: tuple[bool, ...]
    correcting: bool = True
    tried: bool = False
    """Whether the release that is tried answers, instead of the one that serves."""


class _Asker(NamedTuple):
    """What the flags say to all of a batch who cannot be told apart by them.

    Attributes:
        exposures: The variant of each flag under comparison, by flag, where chance decided.
        arm: Of the running experiment, where it decided the way.
        logged: Whether it is logged how their answers came about.
    """

    way: _Way
    exposures: dict[str, str]
    arm: str | None
    logged: bool = False


class FlaggedClassifier:
    """A classifier steered by flags.

    Args:
        serving: What answers.
        flags: Returns the flags as they stand; asked once a batch, so that a batch sees one state.
        observer: Who counts, if anyone does.
        brown_out: Says when adaptive routing is to go no further than the rules.
        corrector: Answers as people corrected, before the classifier is asked; left out: nobody corrected anything.
        shadow: Asks the release that is tried about what was answered, afterwards; left out: nobody does.
    """

    def __init__(
        self,
        serving: Serving,
        flags: Callable[[], Snapshot],
        observer: FlagsObserver | None = None,
        brown_out: BrownOut | None = None,
        corrector: Corrector | None = None,
        *,
        shadow: Shadow | None = None,
    ) -> None:
        self._shadow = shadow
        self._corrector = corrector
        self._serving = serving
        self._flags = flags
        self._observer = observer
        self._brown_out = brown_out

    def tiers_wanted(self) -> tuple[str, ...]:
        """Return the tiers that the flags put into the chain for users nobody singled out."""
        return self.usual_route().order

    def usual_route(self) -> Route:
        """Return the way of users nobody singled out."""
        flags = self._flags()
        return _asker(flags, Experiments(flags), _NOBODY).way.route

    async def decide(self, utterances: Sequence[Received]) -> list[Decision]:
        """Return one decision for each utterance, in their order; all by what serves and is tried as they come."""
        with self._serving.both() as (serving, candidate):
            return await self._decide(serving, candidate, utterances)

    async def _decide(
        self, serving: Classifier, candidate: Candidate | None, utterances: Sequence[Received]
    ) -> list[Decision]:
        flags, begun = self._flags(), time.monotonic()
        recollection = NOTHING if self._corrector is None else self._corrector.current
        rolled_out = candidate if candidate is not None and candidate.stage == "rollout" else None
        askers = self._askers(flags, utterances, None if rolled_out is None else flag_of(rolled_out.record))
        rows: defaultdict[_Way, list[int]] = defaultdict(list)
        for row, asker in enumerate(askers):
            rows[asker.way].append(row)
        decisions: dict[int, Decision] = {}
        for way, those in _portions(rows, compared=bool(flags.compared)):
            waited = time.monotonic() - begun
            texts = [utterances[row].utterance.text for row in those]
            classifier = rolled_out.classifier if rolled_out is not None and way.tried else serving
            taken = self._taken(way)
            answers = await self._answers(classifier, recollection, texts, way, taken)
            took = time.monotonic() - begun - waited
            strategy = way.route.strategy.value
            review_below = classifier.review_below(way.route)
            self._count(way, len(those))
            for row, answer in zip(those, answers, strict=True):
                decisions[row] = Decision(
                    answer,
                    strategy,
                    classifier.release,
                    flags.revision,
                    recollection.revision if way.correcting else 0,
                    exposures=askers[row].exposures,
                    experiment_arm=askers[row].arm,
                    waited_seconds=waited,
                    classify_seconds=took,
                    compute_seconds=took / len(those),
                    review_below=review_below,
                )
                if askers[row].logged:
                    log_decision(utterances[row], decisions[row])
            if self._shadow is not None and candidate is not None and rolled_out is None:
                said = [utterances[row] for row in those]
                self._shadow.offer(candidate, said, answers, taken, served_by=serving.release)
        return [decisions[row] for row in range(len(utterances))]

    def _askers(self, flags: Snapshot, utterances: Sequence[Received], tried: str | None) -> list[_Asker]:
        """Return which way each goes; where finding that out fails, everyone goes the standard one."""
        try:
            return _askers(flags, utterances, tried)
        except Exception as error:  # noqa: BLE001 - the guard of routing: an utterance is answered whatever its way
            _log.error("routing_failed", utterances=len(utterances), **describe_fault(error))
            if self._observer is not None:
                self._observer.unexpected("routing")
            return [_STANDARD] * len(utterances)

    def _taken(self, way: _Way) -> Route:
        """Return the route that is taken: in a brown-out adaptive routing lets the first tier's answer stand."""
        browned_out = self._brown_out is not None and self._brown_out.active
        spared = browned_out and way.route.strategy is Strategy.ADAPTIVE
        return way.route._replace(escalate=False) if spared else way.route

    async def _answers(
        self, classifier: Classifier, recollection: Recollection, texts: Sequence[str], way: _Way, taken: Route
    ) -> list[Answer]:
        """Return one answer a text: as people corrected, else the classifier's.

        What was spared the next tier says so. Where only one tier is to be asked, be it for that or for speed, it is
        not found out either whether a text is near to a corrected one.
        """
        spared = taken != way.route
        given: dict[int, Answer] = {}
        if self._corrector is not None and way.correcting:
            given = await self._corrector.answers(recollection, texts, near=taken.escalate)
        rest = [row for row in range(len(texts)) if row not in given]
        if rest:
            answers = await classifier.classify([texts[row] for row in rest], taken, caching=way.caching)
            given |= zip(rest, _spared(answers) if spared else answers, strict=True)
        return [given[row] for row in range(len(texts))]

    def _count(self, way: _Way, utterances: int) -> None:
        if self._observer is not None:
            for flag, state in zip(FLAGS, way.states, strict=False):
                self._observer.flag_evaluated(flag, "on" if state else "off", utterances)


_STANDARD = _Asker(
    _Way(route(Strategy.STANDARD, distilbert=False, zero_shot=True), caching=True, states=()), exposures={}, arm=None
)
"""What everyone gets while nobody can say who is to get what; no flag is counted for it."""


def _spared(answers: Sequence[Answer]) -> list[Answer]:
    """Say of each answer that it stands because utterances wait."""
    return [
        msgspec.structs.replace(
            answer, tried=(*answer.tried[:-1], msgspec.structs.replace(answer.tried[-1], reason=BROWN_OUT))
        )
        if answer.tried
        else answer
        for answer in answers
    ]


def _askers(flags: Snapshot, utterances: Sequence[Received], tried: str | None) -> list[_Asker]:
    """Return what the flags say to each utterance's author; who cannot be told apart is asked for once."""
    known: dict[Hashable, _Asker] = {}
    experiments = Experiments(flags)
    askers = []
    for received in utterances:
        utterance = received.utterance
        key = _identity(flags, utterance)
        asker = known.get(key)
        if asker is None:
            asker = known[key] = _asker(flags, experiments, utterance, tried)
        askers.append(asker)
    return askers


def _identity(flags: Snapshot, utterance: Utterance) -> Hashable:
    """Return all that the flags look at in an utterance."""
    if not flags.asked_attributes:
        return utterance.user_id
    attributes = utterance_attributes(utterance)
    return utterance.user_id, *[attributes.get(name) for name in flags.asked_attributes]


def _asker(flags: Snapshot, experiments: Experiments, utterance: Utterance, tried: str | None = None) -> _Asker:
    """Return what the flags, and the experiment if one runs, say to an utterance's author.

    `tried` is the flag of the release that is rolled out and here to answer, if one is.

    An arm decides in the place of adaptive routing, and so does the winner of the last experiment. The modes stand
    above both: whoever asks for quality or speed gets it, and is in no arm.
    """
    user, attributes = utterance.user_id, utterance_attributes(utterance)
    states = tuple(flags.enabled(name, user, attributes) for name in FLAGS)
    adaptive, performance, quality, distilbert, zero_shot, caching, ab_testing, logged, correcting = states
    strategy = choose_strategy(adaptive_routing=adaptive, performance_mode=performance, quality_mode=quality)
    context = Context(user_id=user, attributes=attributes)
    exposures, arm = _exposures(flags, context, tried), None
    if not (performance or quality):
        arm = experiments.arm(context) if ab_testing else None
        strategy = Strategy(experiments.strategy(arm) or strategy)
    if arm is None:
        exposures.pop(experiments.running or "", None)
    by_tried = tried is not None and flags.evaluate(tried, context).value is True
    way = _Way(route(strategy, distilbert=distilbert, zero_shot=zero_shot), caching, states, correcting, by_tried)
    return _Asker(way, exposures, arm, logged)


def _exposures(flags: Snapshot, context: Context, tried: str | None) -> dict[str, str]:
    """Return the variants that chance gave an utterance's author.

    Whom a rule picked, or who got what everyone gets, is like nobody on the other side, and is left out; and so is
    everybody where the release that the flag is about is not here to answer.
    """
    compared = (name for name in flags.compared if name == tried or not is_candidates_flag(name))
    answers = ((name, flags.evaluate(name, context)) for name in compared)
    return {name: answer.variant for name, answer in answers if answer.reason is Reason.SPLIT and answer.variant}


def _portions(rows: Mapping[_Way, list[int]], *, compared: bool) -> list[tuple[_Way, list[int]]]:
    """Return who is answered together.

    Where users are being compared, the portions of all ways are about as large as the smallest way. Answers of a large
    portion take longer each, and cost less each, than those of a small one: ten percent of the users would seem fast
    and dear for being few.
    """
    if not compared or len(rows) < 2:  # noqa: PLR2004 - nobody is compared with himself
        return list(rows.items())
    total = sum(map(len, rows.values()))
    size = max(min(map(len, rows.values())), -(-total // _MOST_PORTIONS))
    return [(way, those[start : start + size]) for way, those in rows.items() for start in range(0, len(those), size)]
