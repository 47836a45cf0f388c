"""People's corrections answer before the tiers do, and cost nothing where there are none."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from models.catalogue import Catalogue, Intent
from models.learning.corrector import Corrector
from models.learning.lessons import Lessons, lesson_key
from models.learning.recollection import Surroundings
from models.training.nearness import fit_nearness
from schemas.events import Lesson

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

CATALOGUE = Catalogue(name="c", intents=(Intent(name="greeting", examples=("hello",)), Intent(name="refund")))


class OneDirection:
    """An encoder to which all texts are the same; held, it answers once it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.free = threading.Event()
        self.free.set()
        self.broken = False

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.free.wait(30)
        if self.broken:
            raise RuntimeError("the graph cannot be run")
        self.asked += texts
        return np.tile(np.eye(1, 8, dtype=np.float32), (len(texts), 1))


class Skipped(list[int]):
    def nearness_skipped(self, texts: int) -> None:
        self.append(texts)


class Room:
    """A corrector, and what is around it."""

    def __init__(self, *, loaded: bool = True, deadline_seconds: float = 30.0) -> None:
        self.encoder, self.skipped, self.lessons = OneDirection(), Skipped(), Lessons()
        nearness = fit_nearness(CATALOGUE, cast("Any", OneDirection()))
        self.around = Surroundings(cast("Any", self.encoder), nearness, CATALOGUE.labels)
        self.loaded = loaded
        self.corrector = Corrector(
            lambda: self.around if self.loaded else None, deadline_seconds=deadline_seconds, observer=self.skipped
        )

    def learn(self, text: str, intent: str | None, *, accepted: bool = True) -> None:
        revision = self.lessons.revision + 1
        lesson = Lesson(text=text, intent=intent, accepted=accepted, votes=(), revision=revision, changed_at="")
        self.lessons.apply(lesson_key(text), lesson)
        self.corrector.learn(self.lessons)

    async def ask(self, *texts: str, near: bool = True) -> dict[int, str | None]:
        answers = await self.corrector.answers(self.corrector.current, texts, near=near)
        assert all(answer.tier == "corrections" and answer.lesson for answer in answers.values())
        return {row: answer.intent for row, answer in answers.items()}


async def test_the_very_text_is_answered_however_it_is_written_and_others_are_not() -> None:
    room = Room(loaded=False)
    room.learn("money back", "refund")
    assert await room.ask("Money  BACK", "my money back", "money back") == {0: "refund", 2: "refund"}


async def test_a_correction_to_out_of_scope_is_an_answer_too() -> None:
    room = Room(loaded=False)
    room.learn("nice weather", None)
    assert await room.ask("nice weather", "hello") == {0: None}


async def test_what_waits_answers_nothing() -> None:
    room = Room()
    room.learn("money back", "refund", accepted=False)
    assert await room.ask("money back") == {}
    assert room.corrector.current.revision == 1


async def test_nothing_is_embedded_where_nobody_corrected_anything() -> None:
    room = Room()
    assert await room.ask("money back", "hello") == {}
    assert room.encoder.asked == []


async def test_what_is_near_is_found_once_the_encoder_is_loaded() -> None:
    room = Room(loaded=False)
    room.learn("money back", "refund")
    assert await room.ask("my money back") == {}
    room.loaded = True
    room.corrector.refresh()
    assert await room.ask("money back please") == {}  # an example of another intent is as near
    assert room.encoder.asked == ["money back", "money back please"]


async def test_each_corrected_text_is_embedded_once() -> None:
    room = Room()
    for number in range(3):
        room.learn(f"text {number}", "refund")
    assert room.encoder.asked == ["text 0", "text 1", "text 2"]


async def test_where_only_one_tier_is_to_be_asked_the_encoder_is_not() -> None:
    room = Room()
    room.learn("money back", "refund")
    room.encoder.asked.clear()
    assert await room.ask("money back", "my money back", near=False) == {0: "refund"}
    assert room.encoder.asked == []


async def test_an_encoder_that_hangs_costs_a_deadline_once_and_no_answer() -> None:
    room = Room(deadline_seconds=0.05)
    room.learn("money back", "refund")
    room.encoder.free.clear()
    try:
        assert await room.ask("money back", "my money back") == {0: "refund"}
        async with asyncio.timeout(20):
            assert await room.ask("money back", "our money back", "their money back") == {0: "refund"}
        assert room.skipped == [1, 2]
    finally:
        room.encoder.free.set()


async def test_an_encoder_that_fails_leaves_the_very_text_to_decide() -> None:
    room = Room()
    room.encoder.broken = True
    room.learn("money back", "refund")
    assert await room.ask("money back", "my money back") == {0: "refund"}
    assert room.skipped == [1]


async def test_a_batch_is_answered_by_what_was_known_when_it_began() -> None:
    room = Room(loaded=False)
    before = room.corrector.current
    room.learn("money back", "refund")
    assert await room.corrector.answers(before, ["money back"], near=True) == {}
    assert before.revision == 0
