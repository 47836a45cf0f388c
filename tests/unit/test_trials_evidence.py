"""What was seen of a candidate comes to the same numbers in whichever order the records are read."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from models.answer import Answer
from schemas.cloudevents import Received
from schemas.events import Attempt, Difference, Outcome, ShadowReport, Utterance
from streams.trials.evidence import Evidence, Feedback
from streams.trials.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

DIFFERENCES = tuple(
    Difference(
        utterance_id=f"u{number}", served="refund", candidate="order_status", served_confidence=0.5, confidence=0.7
    )
    for number in range(4)
)
FEEDBACK = (
    Feedback("u0", "ada", "order_status"),
    Feedback("u1", "ada"),
    Feedback("u2", "ada", None),
    Feedback("u9", "ada", "order_status"),
)


def report(**fields: Any) -> ShadowReport:
    given: dict[str, Any] = {
        "model": "zero_shot",
        "release": "a",
        "texts": 10,
        "answers": {"refund": 8, "": 2},
        "users": (1, 2),
    } | fields
    return ShadowReport(served_by="r", worker_id="w", reported_at="2026-11-30T09:00:00Z", **given)


def gathered(records: Iterable[ShadowReport | Feedback]) -> Any:
    evidence = Evidence("zero_shot", "a")
    for each in records:
        if isinstance(each, ShadowReport):
            evidence.see_report(each)
        else:
            evidence.see_feedback(each)
    return evidence.seen()


def test_reports_add_up_and_those_of_another_candidate_do_not_count() -> None:
    seen = gathered(
        [
            report(different=DIFFERENCES[:1], failed=1, confidence=0.5, seconds=1.0),
            report(users=(2, 3), late=2, skipped=5, confidence=1.0, seconds=3.0),
            report(release="b", texts=500),
            report(model="distilbert", texts=500),
        ]
    )
    assert (seen.texts, seen.failed, seen.late, seen.skipped, seen.different, seen.users) == (20, 1, 2, 5, 1, 3)
    assert (seen.served, seen.lost, seen.gained) == ({"refund": 16, "": 4}, {"refund": 1}, {"order_status": 1})
    assert (seen.confidence, seen.seconds) == (0.75, 0.2)


def test_what_people_say_of_answers_that_differ_counts_for_who_is_right_whatever_is_read_first() -> None:
    records: tuple[ShadowReport | Feedback, ...] = (report(different=DIFFERENCES), *FEEDBACK)
    for order in itertools.permutations(records):
        seen = gathered(order)
        assert (seen.right, seen.wrong) == (1, 1)  # and where neither is right, for nobody


def test_an_answer_counts_once_however_many_people_say_so() -> None:
    seen = gathered([report(different=DIFFERENCES), *(Feedback("u0", f"p{n}", "order_status") for n in range(5))])
    assert (seen.right, seen.wrong) == (1, 0)


@pytest.mark.parametrize("users", [100, 5_000, 30_000])
def test_users_are_counted_by_buckets_to_within_a_few_percent(users: int) -> None:
    tally = Tally("zero_shot", "a", "r")
    answer = Answer(intent="refund", confidence=1.0, tier="rules")
    for number in range(users):
        for _ in range(2):
            tally.add(Received(Utterance(text="x", id="1", user_id=f"user-{number}")), answer, answer)
    assert gathered([tally.report("w", "2026-11-30T09:00:00Z")]).users == pytest.approx(users, rel=0.03)


def test_a_tally_tells_what_failed_with_the_candidate_alone() -> None:
    def answer(outcome: Outcome) -> Answer:
        return Answer(intent=None, confidence=0.5, tier="rules", tried=(Attempt(tier="zero_shot", outcome=outcome),))

    tally = Tally("zero_shot", "a", "r")
    received = Received(Utterance(text="x", id="1"))
    tally.add(received, answer(Outcome.ANSWERED), answer(Outcome.FAILED))
    tally.add(received, answer(Outcome.FAILED), answer(Outcome.OPEN))
    tally.add(received, answer(Outcome.ANSWERED), answer(Outcome.TIMEOUT))
    told = tally.report("w", "2026-11-30T09:00:00Z")
    assert (told.texts, told.failed, told.late, told.answers, told.different, told.users) == (3, 1, 1, {"": 3}, (), ())
