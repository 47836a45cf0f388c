"""What was taught in minutes is released only into the world that it was begun in; what fails is not begun at once."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from models.catalogue import Catalogue, Intent
from models.learning.lessons import Lessons, lesson_key
from models.release import DISTILBERT, Provenance, make_release, release_name
from models.store import push_release
from models.taught_network import TAUGHT_FILE, Taught
from models.training.contest import Contest
from schemas.errors import UnavailableError
from schemas.events import Lesson, ModelRelease, Vote
from streams.learning.learner import Pupil
from streams.learning.network_learning import FAILED, NetworkLearning
from streams.learning.network_watch import BY, Champion, Champions, NetworkWatch
from streams.learning.teaching import Place, Teaching
from streams.release_acts import MismatchedReleaseError
from tests.kit.letters import Letters
from tests.kit.word_release import write_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.training.assignment import Assignment
    from schemas.events import Challenge

    Attempt = Callable[[Assignment, Callable[[], bool]], Contest | None]

CATALOGUE = Catalogue(
    name="shop",
    intents=tuple(
        Intent(name=name, description="", examples=(f"{name} one",), patterns=()) for name in ("hello", "refund")
    ),
    out_of_scope=(),
)
BETTER = Contest("better", "It is.", texts=10, champion=5, challenger=9, p_value=0.01, falls={})
NO_BETTER = Contest("no_better", "It is not.", texts=10, champion=5, challenger=5, p_value=1.0, falls={})
PUPIL = Pupil(CATALOGUE, Letters(), "letters")
ENOUGH = 3


class World:
    """What the log of releases says, and what is written to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.records: dict[str, ModelRelease] = {}
        self.serving: ModelRelease | None = None
        self.tried: ModelRelease | None = None
        self.lessons = Lessons()
        self.said: list[str] = []
        self.refuses: Exception | None = None
        self.audited: list[Any] = []

    def release(self, name: str, taught: Taught | None = None) -> ModelRelease:
        """Push a network to the store, and return its record."""

        def write(made: Path) -> Provenance:
            write_release(made, ["hello", "refund", None])
            if taught is not None:
                (made / TAUGHT_FILE).write_bytes(msgspec.json.encode(taught))
            return Provenance(catalogue=CATALOGUE.digest, code=name)

        make_release(self._folder / name, write)
        return self._record(*push_release(self._folder / name, str(self._folder / "store"))[:2])

    def _record(self, location: str, sha256: str) -> ModelRelease:
        record = ModelRelease(
            name=DISTILBERT, release=release_name(sha256), location=location, sha256=sha256, released_at=""
        )
        self.records[record.release] = record
        return record

    def correct(self, *texts: str) -> None:
        for text in texts:
            revision = self.lessons.revision + 1
            vote = Vote(person_id=f"p{revision}", intent="refund", at="")
            self.lessons.apply(
                lesson_key(text),
                Lesson(text=text, intent="refund", accepted=True, votes=(vote,), revision=revision, changed_at=""),
            )

    # As `ReleaseActs`.

    def read(self) -> Any:
        serving = {} if self.serving is None else {DISTILBERT: self.serving}
        return SimpleNamespace(
            serving=serving, find=lambda _, name: self.records[name], pushed=lambda _: list(self.records.values())
        )

    def announce(self, location: str, sha256: str, _manifest: object, **_: str) -> ModelRelease:
        return self._record(location, sha256)

    def promote(self, _: str, release: str, *, by: str, reason: str) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.said.append(f"promote {release} by {by}: {reason}")

    def shadow(self, _: str, release: str, *, by: str, reason: str) -> None:
        self.said.append(f"shadow {release} by {by}: {reason}")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.serving = made.release("owner")
    made.correct("refund it", "refund me", "refund that")
    return made


def teaching(
    world: World,
    folder: Path,
    attempt: Callable[[Assignment, Callable[[], bool]], Contest | None],
    *,
    at_once: bool = False,
) -> Callable[[], Challenge | None]:
    """Return what makes an attempt at teaching what serves."""
    made = Teaching(
        Place(store=str(folder / "store"), fetched=folder / "teaching", max_bytes=1 << 30, threads=1, most_texts=1_000),
        traffic=lambda: ["hello you", "refund all"],
        attempt=attempt,
        acts=cast("Any", world),
        at_once=at_once,
        serving=lambda: world.serving,
        tried=lambda: world.tried,
        worker_id="worker-1",
    )
    read = cast("Any", SimpleNamespace(lessons=world.lessons, follow=lambda: None))
    term = cast("Any", SimpleNamespace(lasts=lambda _seconds=0.0: True))

    def teach() -> Challenge | None:
        champion = Champions(lambda: world.serving).current()
        assert champion is not None
        return made.teach(champion, PUPIL, read, term)

    return teach


def wins(assignment: Assignment, _goes_on: Callable[[], bool]) -> Contest:
    """Win the contest, and leave a release."""
    from pathlib import Path  # noqa: PLC0415 - the module's is for types alone

    def write(made: Path) -> Provenance:
        write_release(made, ["hello", "refund", None], words=("bye", "refund", "riddle"))
        (made / TAUGHT_FILE).write_bytes(msgspec.json.encode(assignment.taught))
        return Provenance(catalogue=CATALOGUE.digest, code="taught")

    make_release(Path(assignment.out), write)
    return BETTER


@pytest.mark.parametrize(("at_once", "act"), [(False, "shadow"), (True, "promote")])
def test_what_is_better_is_announced_and_tried_or_served(
    world: World, tmp_path: Path, *, at_once: bool, act: str
) -> None:
    challenge = teaching(world, tmp_path, wins, at_once=at_once)()
    assert challenge is not None
    assert (challenge.model, challenge.code, challenge.corrections, challenge.lessons) == (DISTILBERT, "better", 3, 3)
    assert world.said == [f"{act} {challenge.release} by {BY}: It is."]


def test_what_is_no_better_is_told_and_not_announced(world: World, tmp_path: Path) -> None:
    challenge = teaching(world, tmp_path, lambda *_: NO_BETTER)()
    assert challenge is not None
    assert (challenge.code, challenge.release) == ("no_better", None)
    assert (world.said, len(world.records)) == ([], 1)


def test_it_takes_nothing_back_that_was_promoted_while_it_learnt(world: World, tmp_path: Path) -> None:
    def overtaken(assignment: Assignment, goes_on: Callable[[], bool]) -> Contest:
        assert goes_on()
        world.serving = world.release("another")
        assert not goes_on()
        return wins(assignment, goes_on)

    assert teaching(world, tmp_path, overtaken)() is None
    assert world.said == []


def test_what_was_forgotten_while_it_learnt_is_not_released(world: World, tmp_path: Path) -> None:
    def forgotten(assignment: Assignment, goes_on: Callable[[], bool]) -> Contest:
        world.lessons.apply(lesson_key("refund me"), None)
        assert not goes_on()
        return wins(assignment, goes_on)

    assert teaching(world, tmp_path, forgotten)() is None
    assert world.said == []


def test_it_waits_for_its_turn_while_another_release_is_tried(world: World, tmp_path: Path) -> None:
    looks = iter([True, True, False])
    another = world.release("another")
    made = teaching(world, tmp_path, wins)
    world.__class__ = type("Patient", (World,), {"tried": property(lambda _: another if next(looks) else None)})
    assert made() is not None
    assert next(looks, None) is None
    assert len(world.said) == 1


def test_it_leaves_no_more_on_the_disk_than_what_is_taught_from(world: World, tmp_path: Path) -> None:
    (tmp_path / "teaching" / "of a worker that was killed").mkdir(parents=True)
    teaching(world, tmp_path, wins)()
    assert world.serving is not None
    assert [each.name for each in (tmp_path / "teaching").iterdir()] == [world.serving.sha256]


class Duty:
    """The duty, looked at so often, and what was counted."""

    def __init__(self, world: World, outcomes: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.taught, self.counted = 0.0, 0, list[str]()
        self._outcomes = outcomes
        read = SimpleNamespace(lessons=world.lessons, follow=lambda: None)
        monkeypatch.setattr("streams.learning.network_learning.ReadLessons", lambda *_: read)
        never = cast("Any", None)
        self._duty = NetworkLearning(
            cast("Any", SimpleNamespace(teach=self._teach)),
            Champions(lambda: world.serving),
            pupil=lambda: PUPIL,
            tried=lambda: world.tried,
            acts=cast("Any", world),
            after=ENOUGH,
            most_texts=1_000,
            record=world.audited.append,
            new_election=never,
            new_reader=lambda: cast("Any", SimpleNamespace(close=lambda: None)),
            flags=never,
            wait_for_flags=never,
            observer=cast("Any", self),
            clock=lambda: self.now,
        )

    def _teach(self, *_: object) -> Any:
        self.taught += 1
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def look(self, times: int = 3) -> None:
        looks = iter([True] * times)
        self._duty.work(cast("Any", SimpleNamespace(lasts=lambda _: next(looks, False))))

    def network_learning(self, *, active: bool) -> None: ...

    def network_challenged(self, code: str, _seconds: float) -> None:
        self.counted.append(code)

    def unexpected(self, guard: str) -> None:
        self.counted.append(f"unexpected {guard}")


@pytest.mark.parametrize(
    ("error", "counted"),
    [(UnavailableError("no torch"), [FAILED]), (RuntimeError("a bug"), ["unexpected network-learner", FAILED])],
)
def test_what_fails_is_begun_again_an_hour_later(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, counted: list[str]
) -> None:
    duty = Duty(world, [error, None], monkeypatch)
    duty.look()
    assert (duty.taught, duty.counted) == (1, counted)
    duty.now = 3_601.0
    duty.look(1)
    assert duty.taught == 2


def test_too_few_corrections_are_not_taught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.lessons.apply(lesson_key("refund me"), None)
    duty = Duty(world, [], monkeypatch)
    duty.look()
    assert duty.taught == 0


def test_what_was_made_of_the_same_corrections_is_not_made_again_whoever_took_it_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.serving is not None
    world.release("taught", Taught(owner=world.serving.release, lessons=3))
    duty = Duty(world, [None], monkeypatch)
    duty.look()
    assert duty.taught == 0
    world.correct("refund this", "refund those", "refund these")
    duty.look(1)
    assert duty.taught == 1


def watch(world: World) -> NetworkWatch:
    return NetworkWatch(
        Champions(lambda: world.serving),
        tried=lambda: world.tried,
        acts=cast("Any", world),
        record=world.audited.append,
        worker_id="worker-1",
        most=1_000,
    )


@pytest.fixture
def knows_what_is_gone(world: World) -> Champion:
    """The network that serves has learnt a text that is forgotten."""
    assert world.serving is not None
    taught = Taught(owner=world.serving.release, lessons=3, texts=(lesson_key("refund me"),))
    world.serving = world.release("taught", taught)
    world.lessons.apply(lesson_key("refund me"), None)
    return Champion(world.serving, taught)


def test_what_knows_a_forgotten_text_gives_way_to_its_owners(world: World, knows_what_is_gone: Champion) -> None:
    watch(world).look(world.lessons)
    reason = f"1 of the texts that {knows_what_is_gone.record.release} had learnt were forgotten."
    assert world.said == [f"promote {knows_what_is_gone.taught.owner} by {BY}: {reason}"]


def test_what_cannot_give_way_is_said_once(world: World, knows_what_is_gone: Champion) -> None:
    world.refuses = MismatchedReleaseError("The catalogue is another.")
    looking = watch(world)
    for _ in range(2):
        looking.look(world.lessons)
    world.refuses = None
    looking.look(world.lessons)
    assert world.said == []
    assert knows_what_is_gone.record == world.serving


def test_a_network_whose_release_cannot_be_read_is_asked_for_again_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.serving is not None
    world.serving = msgspec.structs.replace(world.serving, location=f"{world.serving.location}-away")
    champions = Champions(lambda: world.serving)
    assert champions.current() is None
    location = world.serving.location.removesuffix("-away")
    world.serving = msgspec.structs.replace(world.serving, location=location)
    assert champions.current() is None
    later = time.monotonic() + 31
    monkeypatch.setattr("streams.learning.network_watch.time.monotonic", lambda: later)
    assert champions.current() is not None
