"""A replay goes by what was known then, leaves out what the moment decided, and counts what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from flags.log_reader import Record
from infra.cli.replay import told
from models.answer import Answer
from models.learning.lessons import lesson_key
from schemas.events import Attempt, CorrectionVerdict, FlagChange, Lesson, Outcome, Result, Source, Timings, Withdrawal
from streams.decide import BROWN_OUT
from streams.replay.circumstances import browned_out, hampered
from streams.replay.comparison import Comparison
from streams.replay.replay import Report
from streams.replay.revisions import PastFlags, PastLessons
from streams.replay.verdicts import Verdicts

if TYPE_CHECKING:
    from confluent_kafka import Message

AT = "2026-11-23T09:00:00.000Z"
RELEASE = "0123456789ab"


class Written:
    """A record of the lessons' log."""

    def __init__(self, key: str, lesson: Lesson | None, seconds: float) -> None:
        self._key, self._seconds = key, seconds
        self._value = None if lesson is None else msgspec.json.encode(lesson)

    def key(self) -> bytes:
        return self._key.encode()

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 0, int(self._seconds * 1000)


def taught(text: str, intent: str, revision: int) -> Any:
    lesson = Lesson(text=text, intent=intent, accepted=True, votes=(), revision=revision, changed_at=AT)
    return Written(lesson_key(text), lesson, revision)


def forgotten(text: str, seconds: float) -> Any:
    return Written(lesson_key(text), None, seconds)


def known(records: list[Message], revision: int) -> dict[str, str | None]:
    lessons = PastLessons(records).at(revision)
    assert lessons.revision == revision
    return {text: lesson.intent for text, lesson in lessons.accepted().items()}


def test_lessons_are_what_they_were_at_a_revision() -> None:
    records = [taught("a", "refund", 1), taught("b", "cancel", 2), taught("a", "greeting", 3)]
    assert known(records, 0) == {}
    assert known(records, 2) == {"a": "refund", "b": "cancel"}
    assert known(records, 3) == {"a": "greeting", "b": "cancel"}
    assert PastLessons(records).revision_at(2.5) == 2


def test_what_compaction_took_is_known_to_be_gone_and_nothing_later_stands_for_it() -> None:
    left = [taught("b", "cancel", 2), taught("a", "greeting", 3)]
    assert known(left, 2) == {"b": "cancel"}
    assert [PastLessons(left).has(revision) for revision in (1, 2, 3)] == [False, True, True]


def test_what_was_forgotten_stays_forgotten_until_it_is_taught_again() -> None:
    records = [taught("a", "refund", 1), taught("b", "cancel", 2), forgotten("a", 2.5), taught("a", "greeting", 3)]
    assert known(records, 2) == {"b": "cancel"}
    assert known(records, 3) == {"b": "cancel", "a": "greeting"}
    assert not PastLessons(records).has(1)


def change(revision: int, *, enabled: bool) -> FlagChange:
    return FlagChange(name="quality_mode", enabled=enabled, revision=revision, changed_by="ada", changed_at=AT)


def test_flags_are_what_they_were_at_a_revision_and_overrides_stand_above_them() -> None:
    history = [change(1, enabled=True), change(2, enabled=False), change(4, enabled=True)]
    flags = PastFlags(history, {"caching": False})
    states = [snapshot.enabled("quality_mode") for at in (0, 1, 2, 4, 1) if (snapshot := flags.at(at)) is not None]
    assert states == [False, True, False, True, True]
    assert flags.at(3) is None
    assert flags.at(5) is None
    assert flags.latest.revision == 4
    assert not flags.latest.enabled("caching")


def tried(tier: str, outcome: Outcome, reason: str | None = None) -> tuple[Attempt, ...]:
    return (Attempt(tier="rules", outcome=Outcome.UNSURE), Attempt(tier=tier, outcome=outcome, reason=reason))


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.FAILED, Outcome.OPEN])
def test_an_answer_that_a_tier_failed_to_give_was_due_to_the_moment(outcome: Outcome) -> None:
    assert hampered(tried("zero_shot", outcome), RELEASE, ready={"rules"})


@pytest.mark.parametrize(
    ("tier", "release", "ready", "due_to_the_moment"),
    [
        ("zero_shot", RELEASE, {"rules", "zero_shot"}, True),
        ("zero_shot", RELEASE, {"rules"}, False),
        ("distilbert", RELEASE, {"rules", "distilbert"}, False),
        ("distilbert", f"{RELEASE}+distilbert.ba9876543210", {"rules"}, True),
    ],
)
def test_a_tier_that_was_not_there_is_no_circumstance_unless_it_belonged_to_what_served(
    tier: str, release: str, ready: set[str], *, due_to_the_moment: bool
) -> None:
    assert hampered(tried(tier, Outcome.UNAVAILABLE), release, ready) is due_to_the_moment


def test_an_answer_of_tiers_that_were_asked_and_answered_was_not() -> None:
    assert not hampered(tried("zero_shot", Outcome.ANSWERED), RELEASE, {"rules", "zero_shot"})


def test_a_brown_out_is_told_by_the_result() -> None:
    assert browned_out((Attempt(tier="rules", outcome=Outcome.ANSWERED, reason=BROWN_OUT),))
    assert not browned_out(tried("zero_shot", Outcome.ANSWERED, "at least 0.9 sure"))


def was(name: str, intent: str | None, confidence: float, tier: str = "rules") -> Result:
    return Result(
        id=name,
        utterance_id=name,
        intent=intent,
        confidence=confidence,
        tier=tier,
        tried=(),
        strategy="adaptive",
        release=RELEASE,
        timings=Timings(queue_seconds=0.0, classify_seconds=0.0),
    )


def would_be(intent: str | None, confidence: float, tier: str = "rules") -> Answer:
    return Answer(intent=intent, confidence=confidence, tier=tier)


def test_differences_are_counted_by_label_by_score_and_by_tier() -> None:
    comparison = Comparison()
    comparison.add(was("1", "refund", 0.5), would_be("refund", 0.5 + 5e-7))
    comparison.add(was("2", "refund", 0.5), would_be("refund", 0.75, "zero_shot"))
    comparison.add(was("3", "refund", 0.9), would_be(None, 0.2))
    comparison.add(was("4", "cancel", 0.9), would_be(None, 0.2))
    comparison.judge(was("4", "cancel", 0.9), would_be(None, 0.2), None)
    found = comparison.differences()
    assert (found.compared, found.labels_changed) == (4, 2)
    assert (found.scores.results, found.scores.beyond_tolerance, found.scores.largest) == (2, 1, 0.25)
    assert found.scores_by_tier["rules"].largest == pytest.approx(5e-7)
    assert (found.tiers_before, found.tiers_after) == ({"rules": 4}, {"rules": 3, "zero_shot": 1})
    assert {(each.before, each.after, each.results) for each in found.confusions} == {
        ("refund", None, 1),
        ("cancel", None, 1),
    }
    assert [(each.intent, each.before, each.after) for each in found.intents] == [
        (None, 0, 2),
        ("cancel", 1, 0),
        ("refund", 3, 2),
    ]
    assert [each.result_id for each in found.changed] == ["3", "4"]
    assert found.judged is not None
    assert (found.judged.right_before, found.judged.right_after) == (0, 1)


def test_what_nobody_judged_is_not_judged() -> None:
    assert Comparison().differences().judged is None


def test_a_person_is_told_what_counts_and_only_that() -> None:
    comparison = Comparison()
    comparison.add(was("1", "refund", 0.5), would_be("refund", 0.5))
    comparison.add(was("2", "refund", 0.9), would_be(None, 0.2, "zero_shot"))
    report = Report(
        begin=AT,
        end=AT,
        release=None,
        flags={"quality_mode": True},
        results=5,
        left_out={"utterance_gone": 2, "of_http": 1},
        lost={},
        differences=comparison.differences(),
        browned_out=0,
        nearness_skipped=0,
        published=None,
        not_published={},
        seconds=3.0,
        loading_seconds=1.0,
        results_per_second=1.0,
    )
    lines = list(told(report))
    assert lines[0] == "2 of 5 results compared: 1 labels differ (50.00%)"
    assert "left out     2 whose utterances are gone" in lines
    assert "tiers        rules 2 (100.0%)" in lines
    assert "now          rules 1 (50.0%), zero_shot 1 (50.0%)" in lines
    assert "changed      refund → (out of scope)  1" in lines
    assert not any(line.startswith(("brown-out", "by people", "published")) for line in lines)


def said(person: str, intent: str, verdict: Any = "accepted", at: str = AT) -> Record:
    entry = CorrectionVerdict(
        verdict=verdict, code="agreed", reason="-", utterance_id="u1", intent=intent, person_id=person, judged_at=at
    )
    return Record(0, None, msgspec.json.encode(entry))


def withdrawn(person: str) -> Record:
    entry = Withdrawal(
        person_id=person,
        code="done",
        reason="-",
        source=Source(topic="t", partition=0, offset=0),
        asked_by="bob",
        asked_at=AT,
        withdrawn_at=AT,
    )
    return Record(0, None, msgspec.json.encode(entry))


@pytest.mark.parametrize(
    ("audit", "right"),
    [
        ([said("ada", "refund"), said("bob", "cancel")], "cancel"),
        ([said("ada", "refund"), said("bob", "cancel"), said("ada", "greeting")], "greeting"),
        ([said("ada", "refund"), said("bob", "cancel"), withdrawn("bob")], "refund"),
        ([said("ada", "refund", "waiting")], None),
        ([said("ada", "refund", at="2026-11-22T09:00:00.000Z")], None),
        ([said("ada", "refund"), withdrawn("ada")], None),
        ([Record(0, None, b"{}")], None),
    ],
)
def test_the_latest_correction_that_was_believed_and_not_taken_back_is_right(
    audit: list[Record], right: str | None
) -> None:
    verdicts = Verdicts(audit, since=1_795_400_000.0)  # a few hours before nine that day
    assert [verdicts[name] for name in ("u1", "u2") if name in verdicts] == ([] if right is None else [right])
