"""What a change of a flag has compiled anew: itself and what needs it; and that nobody can tell by the answers."""

from __future__ import annotations

import random

from flags.compiling import Origin
from flags.evaluation import Context, Snapshot
from schemas.events import Condition, FlagChange, Prerequisite, Rule

NAMES = ("one", "two", "three", "four")
USERS = [f"user-{number}" for number in range(50)]


def flag(name: str, revision: int, **fields: object) -> FlagChange:
    stamp = {"name": name, "enabled": True, "revision": revision, "changed_by": "test", "changed_at": "now"}
    return FlagChange(**(stamp | fields))  # type: ignore[arg-type]  # each its own


def anew(before: Snapshot, after: Snapshot) -> set[str]:
    was = before.compilation.compiled
    return {name for name, now in after.compilation.compiled.items() if name not in was or was[name] is not now}


def test_a_change_has_nothing_compiled_but_its_flag() -> None:
    changes = {name: flag(name, revision) for revision, name in enumerate(NAMES, start=1)}
    before = Snapshot(revision=4, changes=changes)
    after = Snapshot(revision=5, changes=changes | {"two": flag("two", 5, enabled=False)}, before=before)
    assert anew(before, after) == {"two"}
    assert not after.enabled("two")


def test_what_needs_a_changed_flag_is_compiled_with_it() -> None:
    gold = Rule(conditions=(Condition(attribute="", operator="in_segment", values=("gold",)),))
    changes = {
        "gold": flag("gold", 1, kind="segment", rollout_percentage=0.0),
        "one": flag("one", 2, rules=(gold,), rollout_percentage=0.0),
        "two": flag("two", 3, prerequisites=(Prerequisite(flag="one"),)),
        "three": flag("three", 4),
    }
    before = Snapshot(revision=4, changes=changes)
    after = Snapshot(revision=5, changes=changes | {"gold": flag("gold", 5, kind="segment")}, before=before)
    assert anew(before, after) == {"gold", "one", "two"}
    assert not before.enabled("two", "ada")
    assert after.enabled("two", "ada")


def test_a_flag_that_returns_to_its_default_takes_along_what_needs_it() -> None:
    changes = {"caching": flag("caching", 1, enabled=False), "one": flag("one", 2, prerequisites=(_needs("caching"),))}
    before = Snapshot(revision=2, changes=changes)
    after = Snapshot(revision=3, changes=changes | {"caching": flag("caching", 3, deleted=True)}, before=before)
    assert (before.enabled("one"), after.enabled("one")) == (False, True)


def test_what_was_read_from_disk_is_compiled_again_from_the_changelog() -> None:
    changes = {"one": flag("one", 1)}
    disk = Snapshot(revision=1, changes=changes, origin=Origin.SNAPSHOT)
    read = Snapshot(revision=1, changes=changes, before=disk)
    assert read.evaluate("one", Context()).origin is Origin.CHANGELOG


def test_what_the_environment_says_is_not_forgotten() -> None:
    changes = {"one": flag("one", 1, prerequisites=(_needs("caching"),))}
    before = Snapshot(revision=1, changes=changes)
    after = Snapshot({"caching": False}, 1, changes=changes, before=before)
    assert (before.enabled("one"), after.enabled("one")) == (True, False)


def test_a_thousand_changes_one_by_one_are_the_last_state_at_once() -> None:
    dice = random.Random(20_261_123)  # noqa: S311 - no secret
    changes: dict[str, FlagChange] = {}
    snapshot = Snapshot()
    for revision in range(1, 1_001):
        place = dice.randrange(len(NAMES))
        earlier = [_needs(name) for name in NAMES[:place] if dice.random() < 0.4]
        fields = {"rollout_percentage": float(dice.randrange(101)), "deleted": dice.random() < 0.1}
        changes |= {NAMES[place]: flag(NAMES[place], revision, prerequisites=tuple(earlier), **fields)}
        snapshot = Snapshot(revision=revision, changes=changes, before=snapshot)
        at_once = Snapshot(revision=revision, changes=changes)
        asked = dice.choice(USERS)
        assert [snapshot.evaluate(name, Context(user_id=asked)) for name in NAMES] == [
            at_once.evaluate(name, Context(user_id=asked)) for name in NAMES
        ]


def _needs(name: str) -> Prerequisite:
    return Prerequisite(flag=name)
