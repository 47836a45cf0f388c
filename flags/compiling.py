"""Makes a flag's state into a function, once per change, so that asking costs a few calls and no decisions twice.

Every answer that a flag can give is made here, too; asking only picks one.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import msgspec

from flags.bucketing import BUCKETS, below, bucket, threshold
from flags.conditions import compile_condition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flags.conditions import Attributes, Predicate
    from schemas.events import FlagChange, Rule

    Decider = Callable[[str | None, Attributes], "Evaluation"]
    """Of a user and the other attributes; the one and only answer."""

ON, OFF = "on", "off"


class Reason(enum.StrEnum):
    """Why a value is what it is, in OpenFeature's words."""

    STATIC = "STATIC"
    DEFAULT = "DEFAULT"
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DISABLED = "DISABLED"
    ERROR = "ERROR"


class ErrorCode(enum.StrEnum):
    """What went wrong, in OpenFeature's words."""

    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
    TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
    INVALID_CONTEXT = "INVALID_CONTEXT"


class Origin(enum.StrEnum):
    """Where a flag's state comes from; the first that says something counts."""

    ENVIRONMENT = "environment"
    CHANGELOG = "changelog"
    SNAPSHOT = "snapshot"
    DEFAULT = "default"


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What a flag is for someone, and why.

    Attributes:
        value: Of the flag's type; None only where the flag does not exist and the caller named no default.
        variant: The value's name; `on` and `off` where the flag has no variants of its own.
        version: The revision of the flag's last change; 0: never changed.
        error_code: Set only with `Reason.ERROR`.
        detail: The reason for a person.
    """

    value: Any
    variant: str | None
    reason: Reason
    version: int
    error_code: ErrorCode | None = None
    origin: Origin
    detail: str = ""


class _Answers:
    """A flag's possible answers, each made once."""

    def __init__(self, change: FlagChange, origin: Origin) -> None:
        self._origin, self._version = origin, change.revision
        self._values: Mapping[str, Any] = {each.name: each.value for each in change.variants} or {ON: True, OFF: False}
        self._off = change.off_variant or OFF

    def on(self, variant: str, reason: Reason, detail: str) -> Evaluation:
        return Evaluation(
            value=self._values[variant],
            variant=variant,
            reason=reason,
            version=self._version,
            origin=self._origin,
            detail=detail,
        )

    def off(self, reason: Reason, detail: str) -> Evaluation:
        return self.on(self._off, reason, detail)

    def keyless(self) -> Evaluation:
        """Return the answer to someone who does not say who they are, where that would decide."""
        answer = self.on(self._off, Reason.ERROR, "a percentage needs a user, and none is given")
        return msgspec.structs.replace(answer, error_code=ErrorCode.TARGETING_KEY_MISSING)


def constant(evaluation: Evaluation) -> Decider:
    """Return what always answers the same."""
    return lambda _user_id, _attributes: evaluation


def compile_flag(
    change: FlagChange,
    origin: Origin,
    *,
    deciders: Callable[[str], Decider | None],
    segments: Callable[[str], Predicate],
) -> Decider:
    """Return a flag's decider.

    Args:
        change: A state without faults.
        origin: Where it was read.
        deciders: Returns another flag's, or None if there is none.
        segments: Returns what says who belongs to a segment.
    """
    answers = _Answers(change, origin)
    if change.killed:
        return constant(answers.off(Reason.DISABLED, "it is killed"))
    if not change.enabled:
        return constant(answers.off(Reason.DISABLED, "it is off"))
    decide = _by_share(
        change,
        answers,
        percentage=change.rollout_percentage,
        variant=None,
        reason=Reason.DEFAULT if change.rules else Reason.STATIC,
        detail="no rule matches" if change.rules else "it has no rules",
    )
    rules = [
        (_all_of(rule, segments), _rule(change, rule, number, answers))
        for number, rule in enumerate(change.rules, start=1)
    ]
    if rules:
        decide = _first_of(rules, decide)
    for needed in reversed(change.prerequisites):
        unmet = answers.off(Reason.DISABLED, f"it needs {needed.flag} to be {needed.variant}")
        decide = _with_prerequisite(deciders(needed.flag), needed.variant, unmet, decide)
    return decide


def _all_of(rule: Rule, segments: Callable[[str], Predicate]) -> Predicate:
    predicates = [compile_condition(condition, segments) for condition in rule.conditions]
    if len(predicates) == 1:
        return predicates[0]
    return lambda user_id, attributes: all(holds(user_id, attributes) for holds in predicates)


def _rule(change: FlagChange, rule: Rule, number: int, answers: _Answers) -> Decider:
    detail = f"rule {number} matches"
    if not rule.enabled:
        return constant(answers.off(Reason.TARGETING_MATCH, detail))
    return _by_share(
        change,
        answers,
        percentage=rule.rollout_percentage,
        variant=rule.variant,
        reason=Reason.TARGETING_MATCH,
        detail=detail,
    )


def _first_of(rules: list[tuple[Predicate, Decider]], otherwise: Decider) -> Decider:
    def decide(user_id: str | None, attributes: Attributes) -> Evaluation:
        for holds, matched in rules:
            if holds(user_id, attributes):
                return matched(user_id, attributes)
        return otherwise(user_id, attributes)

    return decide


def _with_prerequisite(needed: Decider | None, variant: str, unmet: Evaluation, decide: Decider) -> Decider:
    if needed is None:
        return constant(unmet)

    def decide_if_met(user_id: str | None, attributes: Attributes) -> Evaluation:
        return decide(user_id, attributes) if needed(user_id, attributes).variant == variant else unmet

    return decide_if_met


def _by_share(
    change: FlagChange, answers: _Answers, *, percentage: float, variant: str | None, reason: Reason, detail: str
) -> Decider:
    """Return what decides whether a user is among the percentage, and if so which variant they get."""
    salt = change.salt or change.name
    inside = (
        _by_weight(change, answers, f"{salt}.variant", reason, detail)
        if change.variants and variant is None
        else constant(answers.on(variant or ON, reason if percentage >= 100 else _split(reason), detail))  # noqa: PLR2004 - percent
    )
    limit = threshold(percentage)
    if limit >= BUCKETS:
        return inside
    outside = answers.off(_split(reason), f"{detail}; the user is outside the {percentage:g} %")
    if limit <= 0:
        return constant(outside)
    is_inside, keyless = below(salt, limit), answers.keyless()

    def decide(user_id: str | None, attributes: Attributes) -> Evaluation:
        if not user_id:
            return keyless
        return inside(user_id, attributes) if is_inside(user_id) else outside

    return decide


def _split(reason: Reason) -> Reason:
    return reason if reason is Reason.TARGETING_MATCH else Reason.SPLIT


def _by_weight(change: FlagChange, answers: _Answers, salt: str, reason: Reason, detail: str) -> Decider:
    """Return what picks a variant by its weight; from other buckets than the percentage's, or it would be skewed."""
    answer_of_bucket: list[tuple[int, Evaluation]] = []
    total = 0
    for each in change.variants:
        total += threshold(each.weight)
        answer_of_bucket.append((total, answers.on(each.name, _split(reason), detail)))
    keyless = answers.keyless()
    last = answer_of_bucket[-1][1]

    def decide(user_id: str | None, _attributes: Attributes) -> Evaluation:
        if not user_id:
            return keyless
        place = bucket(salt, user_id)
        return next((answer for limit, answer in answer_of_bucket if place < limit), last)

    return decide
