"""Whether a flag's state makes sense, alone and beside the others: every reason at once, in words for its author."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from flags.bucketing import is_whole_step, threshold
from flags.compiling import OFF, ON
from flags.conditions import IN_SEGMENT, find_condition_faults
from flags.definitions import DEFINITIONS
from flags.experiments.validation import find_experiment_faults, find_rival_faults
from flags.rollouts.validation import find_rollout_faults

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from schemas.events import FlagChange, Rule

MAX_FLAGS = 1_000
MAX_RULES = 100
MAX_CONDITIONS = 20
MAX_VARIANTS = 100
MAX_PREREQUISITES = 20
MAX_NAME_CHARACTERS = 64
MAX_TEXT_CHARACTERS = 2_000
MAX_VALUE_BYTES = 16_384
MAX_DEPTH = 10
"""How long a chain of flags that need each other may be."""
MAX_COST = 1_000
"""How many flags one question may ask, counting each as often as it is asked."""

RESERVED_NAMES = frozenset({"check"})
"""What stands where a flag's name does in an address, so that nobody could ask for the history of a flag so named."""

_HUNDRED = threshold(100)
_BUILT_IN = {flag.name for flag in DEFINITIONS}


def find_faults(change: FlagChange) -> list[str]:
    """Return everything that is wrong with a flag's state, as far as it can be seen without other flags."""
    return [
        *_name_faults(change),
        *_percentage_faults(change.rollout_percentage, "rollout_percentage"),
        *_text_faults(change),
        *_variant_faults(change),
        *_rules_faults(change),
        *_prerequisite_faults(change),
        *_kind_faults(change),
        *find_rollout_faults(change),
        *find_experiment_faults(change),
    ]


def find_graph_faults(changes: Mapping[str, FlagChange]) -> dict[str, list[str]]:
    """Return what is wrong with flags beside each other: the faults of each that has any, by name.

    Args:
        changes: Every flag's state, by name, deleted ones included.
    """
    graph = _Graph(changes)
    faults = {name: graph.faults(name) for name in changes}
    living = [change for change in changes.values() if not change.deleted]
    if len(living) > MAX_FLAGS:
        newest = max(living, key=lambda change: change.revision)
        faults[newest.name].append(f"there are already {MAX_FLAGS} flags")
    return {name: those for name, those in faults.items() if those}


class _Graph:
    """Flags and what they need of each other."""

    def __init__(self, changes: Mapping[str, FlagChange]) -> None:
        self._changes = {name: change for name, change in changes.items() if not change.deleted}
        self._costs: dict[tuple[str, int], tuple[int, int]] = {}

    def faults(self, name: str) -> list[str]:
        change = self._changes.get(name)
        if change is None:
            return []
        faults = [
            *self._prerequisite_faults(change),
            *self._segment_faults(change),
            *find_rival_faults(change, self._changes.values()),
        ]
        cycle = self._cycle(name)
        if cycle:
            return [*faults, f"it needs itself: {' needs '.join(cycle)}"]
        if not faults:
            depth, cost = self._cost(name)
            if depth > MAX_DEPTH:
                faults.append(f"the chain of flags it needs is {depth} long; at most {MAX_DEPTH}")
            if cost > MAX_COST:
                faults.append(f"to decide it, {cost} flags would be asked; at most {MAX_COST}")
        return faults

    def _prerequisite_faults(self, change: FlagChange) -> Iterator[str]:
        for needed in change.prerequisites:
            if needed.flag not in self._changes and needed.flag not in _BUILT_IN:
                yield f"it needs {needed.flag}, which does not exist"
            elif self._kind(needed.flag) != "flag":
                yield f"it needs {needed.flag}, which is a segment"
            elif needed.variant not in self._variants(needed.flag):
                yield f"it needs {needed.flag} to be {needed.variant}, which is none of its variants"

    def _segment_faults(self, change: FlagChange) -> Iterator[str]:
        for name in dict.fromkeys(_segments(change)):
            if self._kind(name) != "segment":
                yield f"a rule asks for the segment {name}, which does not exist"

    def _kind(self, name: str) -> str | None:
        change = self._changes.get(name)
        return change.kind if change else "flag" if name in _BUILT_IN else None

    def _variants(self, name: str) -> set[str]:
        change = self._changes.get(name)
        return {each.name for each in change.variants} if change and change.variants else {ON, OFF}

    def _needs(self, name: str) -> list[str]:
        change = self._changes.get(name)
        return [each.flag for each in change.prerequisites] + list(_segments(change)) if change else []

    def _cycle(self, name: str) -> list[str]:
        """Return the shortest way from a flag back to itself, both ends included; nothing if there is none."""
        came_from: dict[str, str] = {}
        front = [name]
        while front:
            following = []
            for each in front:
                for needed in self._needs(each):
                    if needed == name:
                        return [*_way(came_from, name, each), name]
                    if needed not in came_from:
                        came_from[needed] = each
                        following.append(needed)
            front = following
        return []

    def _cost(self, name: str, depth: int = MAX_DEPTH + 1) -> tuple[int, int]:
        """Return how deep a flag's needs go and how many flags are asked for it; too deep is not looked into."""
        if depth == 0:
            return 0, 1
        known = self._costs.get((name, depth))
        if known is None:
            below = [self._cost(needed, depth - 1) for needed in self._needs(name)]
            known = 1 + max((each[0] for each in below), default=0), 1 + sum(each[1] for each in below)
            self._costs[name, depth] = known
        return known


def _way(came_from: Mapping[str, str], start: str, end: str) -> list[str]:
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]


def _segments(change: FlagChange) -> Iterator[str]:
    for rule in change.rules:
        for condition in rule.conditions:
            if condition.operator == IN_SEGMENT:
                yield from map(str, condition.values)


def _percentage_faults(percentage: float, where: str) -> Iterator[str]:
    if not 0 <= percentage <= 100:  # noqa: PLR2004 - percent
        yield f"{where} is {percentage:g}; it is from 0 to 100"
    elif not is_whole_step(percentage):
        yield f"{where} is {percentage!r}; it goes in steps of 0.001"


def _text_faults(change: FlagChange) -> Iterator[str]:
    for field in ("salt", "reason", "owner", "description", "off_variant"):
        if len(getattr(change, field) or "") > MAX_TEXT_CHARACTERS:
            yield f"{field} has more than {MAX_TEXT_CHARACTERS} characters"


def _variant_faults(change: FlagChange) -> Iterator[str]:
    variants = change.variants
    if not variants:
        if change.off_variant not in {None, OFF}:
            yield f"off_variant is {change.off_variant}, and the flag has no variants"
        return
    names = Counter(each.name for each in variants)
    if len(variants) > MAX_VARIANTS:
        yield f"it has {len(variants)} variants; at most {MAX_VARIANTS}"
    yield from (f"the variant {name} is named {count} times" for name, count in names.items() if count > 1)
    if change.off_variant not in names:
        yield f"off_variant is {change.off_variant}; a flag with variants says which one it serves when it is off"
    if len({type(each.value) for each in variants}) > 1:
        yield "the variants' values are of different types"
    for each in variants:
        yield from _percentage_faults(each.weight, f"the weight of {each.name}")
        if not 1 <= len(each.name) <= MAX_NAME_CHARACTERS:
            yield f"a variant's name has 1 to {MAX_NAME_CHARACTERS} characters"
        if len(msgspec.json.encode(each.value)) > MAX_VALUE_BYTES:
            yield f"the value of {each.name} is larger than {MAX_VALUE_BYTES} bytes"
    total = sum(threshold(each.weight) for each in variants)
    if total != _HUNDRED:
        yield f"the variants' weights add up to {total * 100 / _HUNDRED:g}; they must to 100"


def _rules_faults(change: FlagChange) -> Iterator[str]:
    if len(change.rules) > MAX_RULES:
        yield f"it has {len(change.rules)} rules; at most {MAX_RULES}"
    for number, rule in enumerate(change.rules[:MAX_RULES], start=1):
        yield from (f"rule {number}: {fault}" for fault in _rule_faults(rule, change))


def _rule_faults(rule: Rule, change: FlagChange) -> Iterator[str]:
    yield from _percentage_faults(rule.rollout_percentage, "rollout_percentage")
    if not 1 <= len(rule.conditions) <= MAX_CONDITIONS:
        yield f"it has {len(rule.conditions)} conditions; 1 to {MAX_CONDITIONS}"
    if rule.variant is not None and rule.variant not in ({each.name for each in change.variants} or {ON, OFF}):
        yield f"{rule.variant} is none of the flag's variants"
    for condition in rule.conditions[:MAX_CONDITIONS]:
        yield from find_condition_faults(condition)


def _prerequisite_faults(change: FlagChange) -> Iterator[str]:
    needed = Counter(each.flag for each in change.prerequisites)
    if len(change.prerequisites) > MAX_PREREQUISITES:
        yield f"it has {len(change.prerequisites)} prerequisites; at most {MAX_PREREQUISITES}"
    yield from (f"the prerequisite {name} is named {count} times" for name, count in needed.items() if count > 1)


def _name_faults(change: FlagChange) -> Iterator[str]:
    if change.name in RESERVED_NAMES and not change.deleted:
        yield f"{change.name} is a word of the HTTP routes, and no name; choose another"


def _kind_faults(change: FlagChange) -> Iterator[str]:
    if change.kind == "segment":
        if change.name in _BUILT_IN:
            yield "it is one of our own flags, which cannot be a segment"
        if change.variants:
            yield "a segment has no variants: one belongs to it or not"
        if change.prerequisites:
            yield "a segment has no prerequisites"
    elif change.name in _BUILT_IN and change.variants:
        yield "it is one of our own flags, which are on or off"
