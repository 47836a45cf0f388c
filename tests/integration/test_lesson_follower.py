"""Everyone who follows the lessons comes to know the same, and nothing that stands there by mistake."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import NewTopic

from flags.admin import admin_client
from flags.clients import follower_config
from models.learning.lessons import Lessons, lesson_key
from schemas.events import Lesson
from streams.learning.lesson_log import LessonFollower
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.embedded.server import EmbeddedServer


class Pupil:
    """Knows what it was told last."""

    def __init__(self) -> None:
        self.knows: dict[str, str | None] | None = None
        self.revision = self.announced = self.refused = 0

    def learn(self, lessons: Lessons) -> None:
        self.revision = lessons.revision
        self.knows = {text: lesson.intent for text, lesson in lessons.accepted().items()}

    def refresh(self) -> None:
        """Nothing is due."""

    def lessons_applied(self, revision: int, texts: int) -> None:
        assert texts >= 0
        self.announced = revision

    def lesson_refused(self) -> None:
        self.refused += 1

    def broker_error(self, code: str) -> None:
        assert code

    def unexpected(self, guard: str) -> None:
        raise AssertionError(guard)


class School:
    """A log of lessons, and who follows it."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._topic = f"lessons-{uuid.uuid4()}"
        self._producer = Producer({"bootstrap.servers": broker})
        self._followers: list[LessonFollower] = []
        self._admin = admin_client({"bootstrap.servers": broker})
        for done in self._admin.create_topics([NewTopic(self._topic, 1, 1)]).values():
            done.result(30)

    def pupil(self) -> Pupil:
        pupil = Pupil()
        config = follower_config({"bootstrap.servers": self._broker})
        follower = LessonFollower(
            new_consumer=lambda: Consumer(config),
            admin=self._admin,
            topic=self._topic,
            learner=pupil,
            announce=lambda: None,
            observer=pupil,
        )
        follower.start()
        self._followers.append(follower)
        return pupil

    def write(self, text: str, intent: str | None, revision: int, *, accepted: bool = True) -> None:
        lesson = Lesson(text=text, intent=intent, accepted=accepted, votes=(), revision=revision, changed_at="")
        self.write_by_hand(lesson_key(text).encode(), msgspec.json.encode(lesson))

    def write_by_hand(self, key: bytes | None, value: bytes | None) -> None:
        self._producer.produce(self._topic, value, key)
        assert self._producer.flush(30) == 0

    def close(self) -> None:
        for follower in self._followers:
            follower.stop()


@pytest.fixture
def school(kafka: EmbeddedServer) -> Iterator[School]:
    school = School(kafka.endpoint)
    yield school
    school.close()


def test_all_know_the_latest_of_each_text_whenever_they_came(school: School) -> None:
    early = school.pupil()
    wait_until(lambda: early.knows == {}, "an empty log is known to be empty")
    school.write("money back", "refund", 1)
    school.write("good day", "greeting", 2)
    school.write("money back", None, 3)
    school.write("still waiting", "refund", 4, accepted=False)
    late = school.pupil()
    for pupil in (early, late):
        wait_until(lambda pupil=pupil: pupil.announced == 4, "all is known")  # type: ignore[misc]  # a default binds it
        assert pupil.knows == {"money back": None, "good day": "greeting"}


def test_what_is_forgotten_decides_no_more(school: School) -> None:
    pupil = school.pupil()
    school.write("money back", "refund", 1)
    wait_until(lambda: pupil.knows == {"money back": "refund"}, "it is known")
    school.write_by_hand(lesson_key("money back").encode(), None)
    wait_until(lambda: pupil.knows == {}, "it is forgotten")
    assert pupil.revision == 1


def test_what_is_no_lesson_is_counted_and_passed_over(school: School) -> None:
    pupil = school.pupil()
    school.write_by_hand(b"key", b"{")
    school.write_by_hand(None, b'{"text": 1}')
    other = Lesson(text="b", intent=None, accepted=True, votes=(), revision=9, changed_at="")
    school.write_by_hand(lesson_key("a").encode(), msgspec.json.encode(other))
    school.write("money back", "refund", 1)
    wait_until(lambda: pupil.knows == {"money back": "refund"}, "what follows is known")
    assert (pupil.refused, pupil.revision) == (3, 1)
