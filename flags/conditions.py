"""What a rule may ask about a request: each operator's arguments checked, and made into a predicate once.

Attributes of utterances are text and those of other callers may be numbers, so both are held against each other as
text where they are to be equal (`5`, `5.0` and `"5"` are the same) and as numbers where they are to be more or less.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from flags.semver import parse_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemas.events import Condition

    Attributes = Mapping[str, object]
    Test = Callable[[object], bool]
    """Of an attribute's value, whatever it is; never raises."""
    Predicate = Callable[[str | None, Attributes], bool]
    """Of a user and the other attributes; never raises."""

USER = "user_id"
IN_SEGMENT, BETWEEN = "in_segment", "between"

MAX_VALUES = 1_000
MAX_CHARACTERS = 512
_EXACT_INTEGERS = 2**53


class _Operator(NamedTuple):
    arity: int | None  # how many values it takes; None: one or more
    parse: Callable[[object], object | None]  # None: not a value of its kind
    kind: str
    test: Callable[[tuple[object, ...]], Test]


def find_condition_faults(condition: Condition) -> list[str]:
    """Return everything that is wrong with a condition, as far as it can be seen without other flags."""
    values = condition.values
    if condition.operator == IN_SEGMENT:
        return [] if values and all(isinstance(each, str) for each in values) else ["in_segment takes segments' names"]
    faults = []
    if not 1 <= len(condition.attribute) <= MAX_CHARACTERS:
        faults.append(f"an attribute's name has 1 to {MAX_CHARACTERS} characters")
    operator = _OPERATORS.get(condition.operator)
    if operator is None:
        known = ", ".join([*_OPERATORS, IN_SEGMENT])
        return [*faults, f"there is no operator {condition.operator[:MAX_CHARACTERS]!r}; there are {known}"]
    if operator.arity is not None and len(values) != operator.arity:
        faults.append(f"{condition.operator} takes {operator.arity} values and has {len(values)}")
    if not 1 <= len(values) <= MAX_VALUES:
        faults.append(f"{condition.operator} takes 1 to {MAX_VALUES} values and has {len(values)}")
    faults += [
        f"{condition.operator} takes {operator.kind}, and {str(each)[:MAX_CHARACTERS]!r} is none"
        for each in values
        if operator.parse(each) is None
    ]
    if not faults and condition.operator == BETWEEN and not _less_or_equal(*map(_number, values)):
        faults.append(f"{BETWEEN} goes from the lower to the higher")
    return faults


def compile_condition(condition: Condition, segments: Callable[[str], Predicate]) -> Predicate:
    """Return a condition's predicate. One that is faulty holds for nobody.

    Args:
        condition: Without faults, or it holds for nobody.
        segments: Returns what says who belongs to a segment.
    """
    if find_condition_faults(condition):
        return _nobody
    predicate = _membership(condition, segments) if condition.operator == IN_SEGMENT else _comparison(condition)
    if not condition.negated:
        return predicate
    return lambda user_id, attributes: not predicate(user_id, attributes)


def _nobody(_user_id: str | None, _attributes: Attributes) -> bool:
    return False


def _membership(condition: Condition, segments: Callable[[str], Predicate]) -> Predicate:
    members = [segments(str(name)) for name in condition.values]
    return lambda user_id, attributes: any(is_member(user_id, attributes) for is_member in members)


def _comparison(condition: Condition) -> Predicate:
    operator, name = _OPERATORS[condition.operator], condition.attribute
    test = operator.test(tuple(operator.parse(each) for each in condition.values))
    if name == USER:
        return lambda user_id, _attributes: test(user_id)
    return lambda _user_id, attributes: test(attributes.get(name))


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    number = _number(value)
    if number is None:
        return None
    return str(int(number)) if number.is_integer() and abs(number) < _EXACT_INTEGERS else repr(number)


def _less_or_equal(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low <= high


def _short_text(value: object) -> str | None:
    text = _text(value)
    return text if text is not None and len(text) <= MAX_CHARACTERS else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _version(value: object) -> object | None:
    return parse_version(value) if isinstance(value, str) else None


def _among(values: tuple[object, ...]) -> Test:
    wanted = frozenset(values)
    return lambda value: _text(value) in wanted


def _starts_with(values: tuple[object, ...]) -> Test:
    prefixes = tuple(map(str, values))
    return lambda value: (text := _text(value)) is not None and text.startswith(prefixes)


def _range(parse: Callable[[object], object | None], holds: Callable[[object, tuple[object, ...]], bool]) -> _Comparing:
    return lambda values: lambda value: (parsed := parse(value)) is not None and holds(parsed, values)


def _at_least(value: object, bounds: tuple[object, ...]) -> bool:
    return bool(value >= bounds[0])  # type: ignore[operator]  # both were parsed to the same ordered type


def _less_than(value: object, bounds: tuple[object, ...]) -> bool:
    return bool(value < bounds[0])  # type: ignore[operator]  # both were parsed to the same ordered type


def _between(value: object, bounds: tuple[object, ...]) -> bool:
    return bool(bounds[0] <= value <= bounds[1])  # type: ignore[operator]  # both were parsed to the same ordered type


if TYPE_CHECKING:
    _Comparing = Callable[[tuple[object, ...]], Test]

_TEXT = f"text of at most {MAX_CHARACTERS} characters"

_OPERATORS = {
    "equals": _Operator(1, _short_text, _TEXT, _among),
    "in": _Operator(None, _short_text, _TEXT, _among),
    "starts_with": _Operator(None, _short_text, _TEXT, _starts_with),
    "at_least": _Operator(1, _number, "a number", _range(_number, _at_least)),
    "less_than": _Operator(1, _number, "a number", _range(_number, _less_than)),
    BETWEEN: _Operator(2, _number, "numbers", _range(_number, _between)),
    "semver_equals": _Operator(1, _version, "a version such as 1.2.3", _range(_version, lambda v, b: v == b[0])),
    "semver_at_least": _Operator(1, _version, "a version such as 1.2.3", _range(_version, _at_least)),
    "semver_less_than": _Operator(1, _version, "a version such as 1.2.3", _range(_version, _less_than)),
}
