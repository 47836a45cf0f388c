"""Rules, variants, prerequisites and the kill switch decide as they say, and no question is ever an exception."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flags import compilation
from flags.compiling import ErrorCode, Origin, Reason, compile_flag
from flags.evaluation import Context, Snapshot, utterance_attributes
from flags.semver import parse_version
from flags.validation import find_faults, find_graph_faults
from schemas.events import Condition, FlagChange, Prerequisite, Rule, Utterance, Variant


def flag(name: str = "target", *, enabled: bool = True, revision: int = 7, **fields: Any) -> FlagChange:
    return FlagChange(name=name, enabled=enabled, revision=revision, changed_by="test", changed_at="now", **fields)


def snapshot(*changes: FlagChange, overrides: dict[str, bool] | None = None) -> Snapshot:
    return Snapshot(overrides, 7, changes={change.name: change for change in changes})


def rule(operator: str, *values: Any, attribute: str = "plan", negated: bool = False, **serve: Any) -> Rule:
    condition = Condition(attribute=attribute, operator=operator, values=values, negated=negated)
    return Rule(conditions=(condition,), **serve)


def matches(asked: Rule, /, user_id: str | None = None, **attributes: Any) -> bool:
    flags = snapshot(flag(rules=(asked,), rollout_percentage=0.0))
    return bool(flags.evaluate("target", Context(user_id=user_id, attributes=attributes)).value)


@pytest.mark.parametrize(
    ("asked", "matching", "others"),
    [
        (rule("equals", "gold"), ["gold"], ["Gold", "golden", "", None, ["gold"], {}]),
        (rule("equals", 5), [5, 5.0, "5"], ["5.0", 6, True, float("nan"), 10**400]),
        (rule("equals", *(True,)), [True, "true"], [1, "True", False]),
        (rule("in", "gold", "silver"), ["gold", "silver"], ["bronze", None]),
        (rule("starts_with", "en-", "de"), ["en-GB", "de", "de-AT"], ["EN-GB", "fr", None, 5]),
        (rule("at_least", 18), [18, "18", 99.5], [17.99, "seventeen", None, True, float("nan"), 10**400]),
        (rule("less_than", 18), [17.99, "-3"], [18, "18", None]),
        (rule("between", 1, 3), [1, "2", 3.0], [0.999, 3.001, None]),
        (rule("semver_at_least", "1.10.0"), ["1.10.0", "1.11.0-rc.1", "2.0.0"], ["1.9.0", "1.10.0-rc.1", "2", None, 2]),
        (rule("semver_less_than", "2.0.0"), ["2.0.0-rc.1", "1.99.0"], ["2.0.0", "2.0.0+build"]),
        (rule("semver_equals", "1.0.0"), ["1.0.0", "1.0.0+build"], ["1.0.1", "v1.0.0"]),
        (rule("equals", "gold", negated=True), ["silver", None], ["gold"]),
    ],
)
def test_an_operator_matches_what_it_says(asked: Rule, matching: list[Any], others: list[Any]) -> None:
    assert not find_faults(flag(rules=(asked,)))
    assert [value for value in matching if not matches(asked, plan=value)] == []
    assert [value for value in others if matches(asked, plan=value)] == []


def test_rules_may_ask_for_user_conversation_locale_and_any_attribute() -> None:
    said = Utterance(
        text="hello", user_id="ada", conversation_id="c-1", locale="en-GB", attributes={"plan": "gold", "locale": "xx"}
    )
    attributes: dict[str, Any] = dict(utterance_attributes(said))
    for name, value in {"conversation_id": "c-1", "locale": "en-GB", "plan": "gold"}.items():
        assert matches(rule("equals", value, attribute=name), **attributes)
    assert matches(rule("equals", "ada", attribute="user_id"), user_id="ada")


def test_versions_are_ordered_as_their_specification_says() -> None:
    ordered = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1"
    versions = [parse_version(text) for text in ordered.split()]
    assert None not in versions
    assert versions == sorted(versions)  # type: ignore[type-var]  # none of them is None
    assert len(set(versions)) == len(versions)


def test_the_first_rule_that_matches_decides() -> None:
    flags = snapshot(flag(rules=(rule("equals", "gold", enabled=False), rule("in", "gold", "silver"))))
    gold, silver, bronze = (
        flags.evaluate("target", Context(attributes={"plan": plan})) for plan in ("gold", "silver", "bronze")
    )
    assert (gold.value, gold.reason, gold.detail) == (False, Reason.TARGETING_MATCH, "rule 1 matches")
    assert (silver.value, silver.reason, silver.detail) == (True, Reason.TARGETING_MATCH, "rule 2 matches")
    assert (bronze.value, bronze.reason) == (True, Reason.DEFAULT)


def test_all_conditions_of_a_rule_must_hold() -> None:
    both = Rule(
        conditions=(
            Condition(attribute="plan", operator="equals", values=("gold",)),
            Condition(attribute="age", operator="at_least", values=(18,)),
        )
    )
    assert matches(both, plan="gold", age=18)
    assert not matches(both, plan="gold", age=17)
    assert not matches(both, age=18)


def test_a_segment_is_a_group_that_rules_can_ask_for_and_callers_cannot() -> None:
    staff = flag(
        "staff", kind="segment", rollout_percentage=0.0, rules=(rule("starts_with", "s-", attribute="user_id"),)
    )
    asks = flag(rules=(rule("in_segment", "staff", attribute=""),), rollout_percentage=0.0)
    flags = snapshot(staff, asks)
    assert find_graph_faults(flags.changes) == {}
    assert flags.enabled("target", "s-ada")
    assert not flags.enabled("target", "ada")
    assert flags.evaluate("staff", Context(user_id="s-ada")).error_code is ErrorCode.FLAG_NOT_FOUND


def test_variants_are_served_by_weight_whoever_is_let_in_and_stay_with_their_users() -> None:
    variants = (
        Variant(name="small", value=1, weight=50.0),
        Variant(name="large", value=2, weight=30.0),
        Variant(name="none", value=0, weight=20.0),
    )
    flags = snapshot(flag(variants=variants, off_variant="none", rollout_percentage=50.0))
    answers = {
        user: flags.evaluate("target", Context(user_id=user)) for user in (f"user-{each}" for each in range(20_000))
    }
    assert all(answer == flags.evaluate("target", Context(user_id=user)) for user, answer in answers.items())
    shares = Counter(answer.variant for answer in answers.values())
    assert shares["small"] / 20_000 == pytest.approx(0.25, abs=0.015)
    assert shares["large"] / 20_000 == pytest.approx(0.15, abs=0.015)
    assert shares["none"] / 20_000 == pytest.approx(0.60, abs=0.015)


def test_a_rule_may_name_the_variant() -> None:
    variants = (Variant(name="a", value="x", weight=100.0), Variant(name="b", value="y", weight=0.0))
    flags = snapshot(flag(variants=variants, off_variant="a", rules=(rule("equals", "gold", variant="b"),)))
    assert flags.evaluate("target", Context(attributes={"plan": "gold"})).value == "y"


def test_a_flag_is_off_where_one_that_it_needs_is_not_as_needed() -> None:
    needs = flag(prerequisites=(Prerequisite(flag="base"),))
    assert snapshot(needs, flag("base")).enabled("target")
    answer = snapshot(needs, flag("base", enabled=False)).evaluate("target", Context())
    assert (answer.value, answer.reason, answer.detail) == (False, Reason.DISABLED, "it needs base to be on")


def test_a_prerequisite_that_the_environment_decides_counts_as_decided() -> None:
    needs = flag(prerequisites=(Prerequisite(flag="caching", variant="off"),))
    assert not snapshot(needs).enabled("target")
    assert snapshot(needs, overrides={"caching": False}).enabled("target")


def test_a_killed_flag_is_off_for_everyone_whatever_its_rules_say() -> None:
    answer = snapshot(flag(killed=True, rules=(rule("equals", "gold"),))).evaluate(
        "target", Context(attributes={"plan": "gold"})
    )
    assert (answer.value, answer.reason, answer.detail) == (False, Reason.DISABLED, "it is killed")


def test_the_environment_stands_above_the_changelog_and_that_above_the_default() -> None:
    change = flag("caching", enabled=False)
    origins = [
        snapshot(change, overrides={"caching": True}).evaluate("caching", Context()),
        snapshot(change).evaluate("caching", Context()),
        snapshot().evaluate("caching", Context()),
        snapshot(flag("caching", enabled=False, deleted=True)).evaluate("caching", Context()),
    ]
    assert [(each.value, each.origin) for each in origins] == [
        (True, Origin.ENVIRONMENT),
        (False, Origin.CHANGELOG),
        (True, Origin.DEFAULT),
        (True, Origin.DEFAULT),
    ]


def test_quality_wins_over_performance_and_both_at_once_are_warned_of() -> None:
    both = snapshot(flag("performance_mode"), overrides={"quality_mode": True})
    assert "quality_mode wins" in both.warnings[0]
    assert snapshot(flag("performance_mode"), flag("quality_mode", killed=True)).warnings == ()


def test_who_does_not_say_who_they_are_is_outside_a_percentage_and_told_why() -> None:
    answer = snapshot(flag(rollout_percentage=99.0)).evaluate("target", Context())
    assert (answer.value, answer.reason, answer.error_code) == (False, Reason.ERROR, ErrorCode.TARGETING_KEY_MISSING)


def test_a_flag_that_does_not_exist_has_the_callers_default() -> None:
    answer = snapshot().evaluate("no_such_flag", Context(), default="blue")
    assert (answer.value, answer.error_code) == ("blue", ErrorCode.FLAG_NOT_FOUND)


def test_a_context_that_cannot_be_read_is_answered_with_the_callers_default() -> None:
    flags = snapshot(flag(rollout_percentage=50.0))
    for user in (7, b"ada", "\ud800"):
        answer = flags.evaluate("target", Context(user_id=user), default=True)  # type: ignore[arg-type]  # which is the point
        assert (answer.value, answer.error_code) == (True, ErrorCode.INVALID_CONTEXT)
        assert not flags.enabled("target", user)  # type: ignore[arg-type]  # likewise


values = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8))
anything = st.recursive(
    st.none() | st.binary() | st.floats() | values,
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=5,
)
operators = st.sampled_from(
    ["equals", "in", "starts_with", "at_least", "less_than", "between", "semver_at_least", "in_segment", "nonsense"]
)
names = st.sampled_from(["target", "other", "third", "caching"])
conditions = st.builds(
    Condition,
    attribute=st.sampled_from(["plan", "user_id", ""]),
    operator=operators,
    values=st.lists(values | names, max_size=3).map(tuple),
    negated=st.booleans(),
)
rules = st.builds(
    Rule,
    conditions=st.lists(conditions, max_size=3).map(tuple),
    enabled=st.booleans(),
    rollout_percentage=st.floats(0, 100),
)
changes = st.builds(
    FlagChange,
    name=names,
    enabled=st.booleans(),
    rollout_percentage=st.floats(0, 100),
    salt=st.text(max_size=5),
    revision=st.integers(1, 9),
    changed_by=st.just("test"),
    changed_at=st.just("now"),
    killed=st.booleans(),
    rules=st.lists(rules, max_size=3).map(tuple),
    prerequisites=st.lists(st.builds(Prerequisite, flag=names), max_size=2).map(tuple),
    kind=st.sampled_from(["flag", "segment"]),
    deleted=st.booleans(),
)


@given(st.lists(changes, max_size=4), names | st.text(), anything, st.dictionaries(st.sampled_from(["plan"]), anything))
def test_no_question_is_ever_an_exception(those: list[FlagChange], name: str, user: Any, attributes: Any) -> None:
    flags = snapshot(*those)
    answer = flags.evaluate(name, Context(user_id=user, attributes=attributes))
    assert (answer.error_code is None) == (answer.reason is not Reason.ERROR)
    if name in flags.names:
        assert flags.enabled(name, user, attributes) == (answer.value is True)
    find_graph_faults(flags.changes)
    for change in those:
        find_faults(change)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"rollout_percentage": 0.0005}, "steps of 0.001"),
        ({"rules": (rule("rhymes_with", "x"),)}, "no operator 'rhymes_with'; there are equals, in"),
        ({"rules": (rule("between", 3, 1),)}, "from the lower to the higher"),
        ({"rules": (rule("at_least", "many"),)}, "takes a number, and 'many' is none"),
        ({"rules": (rule("semver_at_least", "1.0"),)}, "a version such as 1.2.3"),
        ({"rules": (rule("in"),)}, "takes 1 to 1000 values and has 0"),
        ({"rules": (Rule(conditions=()),)}, "rule 1: it has 0 conditions"),
        ({"rules": (rule("in", "x", variant="blue"),)}, "blue is none of the flag's variants"),
        ({"variants": (Variant(name="a", value=1, weight=99.0),), "off_variant": "a"}, "weights add up to 99"),
        ({"variants": (Variant(name="a", value=1, weight=100.0),)}, "says which one it serves when it is off"),
        (
            {
                "variants": (Variant(name="a", value=1, weight=50.0), Variant(name="b", value="x", weight=50.0)),
                "off_variant": "a",
            },
            "of different types",
        ),
    ],
)
def test_what_makes_no_sense_is_named(fields: dict[str, Any], fault: str) -> None:
    assert fault in "\n".join(find_faults(flag(**fields)))


def test_everything_that_is_wrong_is_said_at_once() -> None:
    wrong = flag(
        rollout_percentage=0.0005, rules=(rule("rhymes_with", "x", rollout_percentage=0.0005),), off_variant="x"
    )
    assert len(find_faults(wrong)) == 4


@pytest.mark.parametrize(
    ("those", "fault"),
    [
        ([flag(prerequisites=(Prerequisite(flag="target"),))], "it needs itself: target needs target"),
        (
            [
                flag(prerequisites=(Prerequisite(flag="other"),)),
                flag("other", prerequisites=(Prerequisite(flag="target"),)),
            ],
            "target needs other needs target",
        ),
        ([flag(prerequisites=(Prerequisite(flag="nothing"),))], "nothing, which does not exist"),
        ([flag(prerequisites=(Prerequisite(flag="caching", variant="blue"),))], "none of its variants"),
        ([flag(rules=(rule("in_segment", "caching"),))], "the segment caching, which does not exist"),
        (
            [
                flag("target", prerequisites=(Prerequisite(flag="f0"),)),
                *(flag(f"f{each}", prerequisites=(Prerequisite(flag=f"f{each + 1}"),)) for each in range(11)),
                flag("f11"),
            ],
            "long; at most 10",
        ),
        (
            [
                flag("target", prerequisites=tuple(Prerequisite(flag=f"a{each}") for each in range(15))),
                *(
                    flag(f"a{each}", prerequisites=tuple(Prerequisite(flag=f"b{below}") for below in range(15)))
                    for each in range(15)
                ),
                *(
                    flag(f"b{each}", prerequisites=tuple(Prerequisite(flag=f"c{below}") for below in range(5)))
                    for each in range(15)
                ),
                *(flag(f"c{each}") for each in range(5)),
            ],
            "flags would be asked; at most 1000",
        ),
    ],
)
def test_what_makes_no_sense_beside_other_flags_is_named(those: list[FlagChange], fault: str) -> None:
    assert fault in "\n".join(find_graph_faults({change.name: change for change in those})["target"])


def test_a_flag_is_compiled_when_it_changes_and_not_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an evaluation takes, `bench flags` measures; that it stays small is this."""
    compiled: list[str] = []

    def counted(change: FlagChange, *others: Any, **more: Any) -> Any:
        compiled.append(change.name)
        return compile_flag(change, *others, **more)

    monkeypatch.setattr(compilation, "compile_flag", counted)
    flags = snapshot(flag(rollout_percentage=25.0, rules=(rule("equals", "gold"),)), flag("other"))
    assert sorted(compiled) == ["other", "target"]
    for user in range(100):
        flags.enabled("target", f"user-{user}", {"plan": "gold"})
        flags.evaluate("target", Context(user_id=f"user-{user}", attributes={}))
    assert sorted(compiled) == ["other", "target"]
