"""The guard judges each correction once, whoever guards and whenever one falls."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from confluent_kafka import Consumer, Producer

from flags.admin import admin_client
from flags.clients import reader_config
from models.learning.lessons import Lessons, lesson_key
from models.learning.verdicts import Judge
from schemas.errors import UnavailableError
from schemas.events import CE_TYPES, Correction, CorrectionVerdict, ForgetRequest, Lesson, ReviewRequest, Withdrawal
from schemas.server_settings import Kafka
from schemas.settings import Settings
from streams.clients import client_config, guard_consumer_config, guard_producer_config
from streams.learning.desk import GuardDesk
from streams.learning.lesson_log import read_lesson
from streams.reader import TopicReader
from streams.topics import CORRECTIONS, CORRECTIONS_AUDIT, DEAD_LETTERS, FEEDBACK
from streams.transactions import Transactions
from tests.kit.brokers import create_our_topics, running_broker, wait_until_decided
from tests.kit.command import run_command
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LABELS = ("greeting", "refund")


class Counts:
    """Counts verdicts; what the broker mends is nobody's business here."""

    def __init__(self) -> None:
        self.judged: Counter[str] = Counter()
        self.buried: list[str] = []
        self.withdrawn: list[int] = []

    def correction_judged(self, verdict: str, code: str) -> None:
        self.judged[f"{verdict}: {code}"] += 1

    def feedback_withdrawn(self, lessons: int) -> None:
        self.withdrawn.append(lessons)

    def dead_lettered(self, code: str) -> None:
        self.buried.append(code)

    def broker_error(self, code: str) -> None:
        assert code

    def aborted(self, reason: str) -> None:
        assert reason

    def unexpected(self, guard: str) -> None:
        raise AssertionError(guard)


class Office:
    """A broker with our topics, desks on it, and what stands on the logs."""

    def __init__(self, broker: str) -> None:
        self.settings = Settings(kafka=Kafka(bootstrap_servers=broker))
        self.counts = Counts()
        self._producer = Producer({"bootstrap.servers": broker})
        self._admin = admin_client({"bootstrap.servers": broker})

    def desk(self) -> GuardDesk:
        settings = self.settings
        return GuardDesk(
            Transactions(
                lambda: Producer(guard_producer_config(settings)),
                repair=lambda: None,
                stopping=threading.Event(),
                observer=self.counts,
            ),
            new_consumer=lambda: Consumer(guard_consumer_config(settings)),
            new_reader=lambda: Consumer(reader_config(client_config(settings))),
            new_judge=self._judge,
            labels=lambda: LABELS,
            candidates=lambda texts: [LABELS] * len(texts),
            worker_id="one",
            observer=self.counts,
        )

    def opens(self) -> bool:
        try:
            with self.desk():
                return True
        except UnavailableError:
            return False

    def say(self, *events: Any) -> None:
        """Put what people said on the feedback topic; bytes as they are."""
        for event in events:
            value = event if isinstance(event, bytes) else msgspec.json.encode(event)
            headers: dict[str, str | bytes | None] = {}
            if isinstance(event, ForgetRequest):
                headers["ce_type"] = CE_TYPES[ForgetRequest]
            self._producer.produce(FEEDBACK, value, b"key", headers=headers)
        assert self._producer.flush(30) == 0

    def verdicts(self) -> list[CorrectionVerdict]:
        return self._audit(CorrectionVerdict, of=b"verdict")

    def run(self, *arguments: str) -> str:
        """Return what `intentstream feedback` says to a program."""
        done = run_command("feedback", *arguments, "--json", KAFKA__BOOTSTRAP_SERVERS=self.settings.kafka_servers)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def withdrawals(self) -> list[Withdrawal]:
        return self._audit(Withdrawal, of=b"withdrawn_at")

    def _audit(self, event: type[Any], *, of: bytes) -> list[Any]:
        return [msgspec.json.decode(value, type=event) for _, value in self.log(CORRECTIONS_AUDIT) if of in value]

    def known(self) -> dict[str, Lesson]:
        """Return the lessons as they are in the end, by text."""
        lessons = Lessons()
        for key, value in self.log(CORRECTIONS):
            lessons.apply(*read_lesson(key, value))
        return {lesson.text: lesson for lesson in lessons.by_key.values()}

    def lessons(self) -> list[Lesson]:
        return [msgspec.json.decode(value, type=Lesson) for _, value in self.log(CORRECTIONS) if value is not None]

    def log(self, topic: str) -> list[tuple[Any, Any]]:
        wait_until_decided(self._admin, topic)
        with TopicReader(self.settings, [topic], start="beginning") as reader:
            return [(record.key(), record.value()) for record in reader.read_to_end()]

    def _judge(self, lessons: Lessons) -> Judge:
        return Judge(lessons, lambda: LABELS, self.settings.learning, max_text_characters=100)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with running_broker(tmp_path) as server:
        create_our_topics(server.endpoint, partitions=2)
        office = Office(server.endpoint)
        wait_until(office.opens, "a new broker coordinates groups and transactions")
        yield office


def corrections(count: int, *, first: int = 0) -> list[Correction]:
    return [
        Correction(utterance_id=f"u{number}", intent="refund", person_id=f"p{number}", text=f"text {number}")
        for number in range(first, first + count)
    ]


def work(desk: GuardDesk, until: int, counts: Counts) -> None:
    for _ in range(600):
        if counts.judged.total() >= until:
            return
        desk.work(0.1)
    raise AssertionError(f"{counts.judged.total()} of {until} were judged")


def forget(desk: GuardDesk, counts: Counts, requests: int = 1) -> None:
    for _ in range(600):
        if len(counts.withdrawn) >= requests:
            return
        desk.work(0.1)
    raise AssertionError(f"{len(counts.withdrawn)} of {requests} requests were done")


def work_for_ever(desk: GuardDesk) -> None:
    for _ in range(600):
        desk.work(0.1)


def test_what_passes_is_a_lesson_and_every_verdict_is_in_the_audit(office: Office) -> None:
    office.say(
        Correction(utterance_id="u1", intent="refund", person_id="ada", text="Money  back"),
        ReviewRequest(utterance_id="u2", result_id="r2", reason="uncertain", choices=()),
        Correction(utterance_id="u3", intent="refund", person_id="ada"),
        b"{",
    )
    with office.desk() as desk:
        work(desk, 2, office.counts)
        while not office.counts.buried:  # it may come in a batch of its own
            desk.work(0.1)
    [lesson] = office.lessons()
    assert (lesson.text, lesson.intent, lesson.accepted, lesson.revision) == ("money back", "refund", True, 1)
    assert {(verdict.utterance_id, verdict.verdict, verdict.code) for verdict in office.verdicts()} == {
        ("u1", "accepted", "agreed"),
        ("u3", "refused", "no_text"),
    }
    assert office.log(CORRECTIONS)[0][0].decode() == lesson_key("money back")
    assert [value for _, value in office.log(DEAD_LETTERS)] == [b"{"]
    assert office.counts.buried == ["not_json"]


def test_the_audit_has_no_text(office: Office) -> None:
    office.say(Correction(utterance_id="u1", intent="refund", person_id="ada", text="planted words"))
    with office.desk() as desk:
        work(desk, 1, office.counts)
    assert not any(b"planted" in value for _, value in office.log(CORRECTIONS_AUDIT))


def test_who_takes_over_goes_on_where_the_log_says_and_judges_nothing_twice(office: Office) -> None:
    office.say(*corrections(20))
    with office.desk() as first:
        work(first, 1, office.counts)
    judged = office.counts.judged.total()
    office.say(*corrections(20, first=20))
    with office.desk() as second:
        work(second, 40, office.counts)
        assert second.work(0.5) == 0
    assert judged >= 1
    assert sorted(lesson.revision for lesson in office.lessons()) == list(range(1, 41))
    assert len({verdict.utterance_id for verdict in office.verdicts()}) == len(office.verdicts()) == 40


def test_a_guard_that_was_replaced_writes_nothing_more(office: Office) -> None:
    with office.desk() as frozen:
        assert frozen.work(0.1) == 0
        office.say(*corrections(3))
        with office.desk() as successor:
            work(successor, 3, office.counts)
            with pytest.raises(UnavailableError):
                work_for_ever(frozen)
            office.say(*corrections(3, first=3))
            office.counts.judged.clear()
            work(successor, 3, office.counts)
    assert sorted(lesson.revision for lesson in office.lessons()) == list(range(1, 7))
    assert len(office.verdicts()) == 6


def test_waiting_corrections_outlive_the_guard(office: Office) -> None:
    human = [
        Correction(utterance_id=f"u{number}", intent="human", person_id=person, text=f"text {number}")
        for number, person in enumerate(["ada", "ada", "ada", "ada", "bob"])
    ]
    for number, correction in enumerate(human, 1):
        office.say(correction)
        with office.desk() as desk:
            work(desk, number, office.counts)
    assert office.counts.judged == {"waiting: new_intent": 4, "accepted: taught": 1}
    learnt: dict[str, Lesson] = {lesson.text: lesson for lesson in office.lessons()}
    assert {lesson.intent for lesson in learnt.values() if lesson.accepted} == {"human"}
    assert len(learnt) == 5


def test_what_a_person_alone_taught_is_forgotten_and_what_others_said_too_is_kept(office: Office) -> None:
    office.say(
        Correction(utterance_id="u1", intent="refund", person_id="eve", text="hers alone"),
        Correction(utterance_id="u2", intent="refund", person_id="eve", text="theirs"),
        Correction(utterance_id="u3", intent="refund", person_id="ada", text="theirs"),
        Correction(utterance_id="u4", intent="refund", person_id="ada", text="not hers"),
    )
    with office.desk() as desk:
        work(desk, 4, office.counts)
        office.say(ForgetRequest(person_id="eve", asked_by="bob", reason="It was nonsense"))
        forget(desk, office.counts)
    known = office.known()
    assert {text: [vote.person_id for vote in lesson.votes] for text, lesson in known.items()} == {
        "theirs": ["ada"],
        "not hers": ["ada"],
    }
    assert known["theirs"].accepted
    *each, whole = office.withdrawals()
    assert {(one.lesson, one.code, one.people) for one in each} == {
        (lesson_key("hers alone"), "forgotten", 0),
        (lesson_key("theirs"), "kept", 1),
    }
    assert (whole.code, whole.lessons, whole.asked_by, whole.reason) == ("done", 2, "bob", "It was nonsense")
    assert not any(b"hers" in value for _, value in office.log(CORRECTIONS_AUDIT))


def test_forgetting_twice_changes_nothing_more_and_revisions_are_never_given_again(office: Office) -> None:
    office.say(*corrections(2))
    with office.desk() as desk:
        work(desk, 2, office.counts)
        office.say(ForgetRequest(person_id="p0", asked_by="bob"), ForgetRequest(person_id="p1", asked_by="bob"))
        office.say(ForgetRequest(person_id="p1", asked_by="bob"))
        forget(desk, office.counts, requests=3)
    assert office.counts.withdrawn == [1, 1, 0]
    assert office.known() == {}
    office.say(*corrections(1, first=2))
    with office.desk() as successor:
        work(successor, 3, office.counts)
    assert [lesson.revision for lesson in office.known().values()] == [3]


def test_the_command_line_shows_a_persons_voice_and_takes_it_back(office: Office) -> None:
    office.say(*corrections(2), Correction(utterance_id="u9", intent="refund", person_id="p0", text="text 1"))
    with office.desk() as desk, ThreadPoolExecutor(1) as shell:
        work(desk, 3, office.counts)
        listed = [json.loads(line) for line in office.run("list", "--user", "p0").splitlines()]
        assert {(voice["lesson"], voice["others"]) for voice in listed} == {
            (lesson_key("text 0"), 0),
            (lesson_key("text 1"), 1),
        }
        forgetting = shell.submit(office.run, "forget", "--user", "p0", "--by", "bob", "--wait", "60")
        while not forgetting.done():
            desk.work(0.1)
    answer = json.loads(forgetting.result())
    assert answer["done"]["asked_by"] == "bob"
    assert {change["code"] for change in answer["changed"]} == {"forgotten", "kept"}
    assert office.run("list", "--user", "p0") == ""
    later = json.loads(office.run("forget", "--user", "p0", "--wait", "0"))
    assert later["done"] is None
