"""What a network is to learn: what is known, what is new, and what was said, taken for what its champion says."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from models.catalogue import Catalogue, Intent
from models.learning.lessons import lesson_key
from models.learning.material import Material
from models.taught_network import Taught
from models.training.apart import attempt_apart
from models.training.assigning import assign
from models.training.assignment import Folders
from schemas.errors import UnavailableError
from schemas.events import Lesson
from tests.kit.letters import Letters
from tests.kit.word_release import write_release

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.assignment import Assignment

CATALOGUE = Catalogue(
    name="shop",
    intents=tuple(
        Intent(name=name, description="", examples=(f"{name} one", f"{name} two"), patterns=())
        for name in ("hello", "refund")
    ),
    out_of_scope=("a riddle",),
)
TRAFFIC = ("hello there", "hello you", "a refund for me", "refund it", "riddle", "Corrected since")


def lesson(text: str, intent: str | None, revision: int) -> Lesson:
    return Lesson(text=text, intent=intent, accepted=True, votes=(), revision=revision, changed_at="")


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    (tmp_path / "network").mkdir()
    write_release(tmp_path / "network", ["hello", "refund", None])
    return Folders(tmp_path / "network", tmp_path / "network", tmp_path / "out")


OWNERS = Taught(owner="0123456789ab", lessons=0)


def assigned(folders: Folders, *lessons: Lesson, learnt: Taught = OWNERS) -> Assignment:
    material = Material(CATALOGUE, lessons, frozenset(), TRAFFIC)
    return assign(material, Letters(), folders, learnt=learnt, lessons=9, threads=1)


def test_what_the_champion_has_learnt_is_known_and_what_it_has_not_is_new(folders: Folders) -> None:
    learnt = Taught(owner="0123456789ab", lessons=3, texts=(lesson_key("old"),))
    task = assigned(folders, lesson("old", "refund", 3), lesson("corrected since", None, 4), learnt=learnt)
    assert {*task.shown, *task.held_out} == {("corrected since", 2)}
    assert set(task.known) == {
        *(("hello one", 0), ("hello two", 0), ("refund one", 1), ("refund two", 1)),
        *(("a riddle", 2), ("old", 1)),
    }


def test_a_correction_that_nobody_vouched_for_when_the_champion_learnt_is_new(folders: Folders) -> None:
    task = assigned(folders, lesson("old", "refund", 3), learnt=Taught(owner="0123456789ab", lessons=3))
    assert {*task.shown, *task.held_out} == {("old", 1)}


def test_about_half_of_what_is_new_is_kept_from_the_twin(folders: Folders) -> None:
    new = [lesson(f"refund it {number}", "hello", number) for number in range(1, 41)]
    task = assigned(folders, *new)
    assert 10 < len(task.held_out) < 30
    assert len(task.shown) + len(task.held_out) == len(new)


def test_the_twin_takes_traffic_for_what_it_is_without_knowing_what_it_is_asked(folders: Folders) -> None:
    new = [lesson(f"refund it {number}", "hello", number) for number in range(1, 41)]
    kept = dict(assigned(folders, *new).held_out)
    task = assigned(folders, *(each for each in new if each.text in kept))
    assert task.shown == ()
    assert (dict(task.guessed)["refund it"], dict(task.guessed_by_twin)["refund it"]) == (0, 1)


def test_what_the_catalogue_says_of_a_text_gives_way_to_what_people_say(folders: Folders) -> None:
    task = assigned(folders, lesson("hello two", "refund", 1))
    assert ("hello two", 1) in {*task.shown, *task.held_out}
    assert "hello two" not in dict(task.known)


def test_what_was_said_is_taken_for_what_the_champion_says_unless_people_said_what_it_means(folders: Folders) -> None:
    task = assigned(folders, lesson("corrected since", "hello", 1))
    assert dict(task.guessed) == {"hello there": 0, "hello you": 0, "a refund for me": 1, "refund it": 1, "riddle": 2}


def test_it_names_what_was_learnt_by_keys(folders: Folders) -> None:
    taught = assigned(folders, lesson("old", "refund", 3)).taught
    assert (taught.owner, taught.lessons, taught.traffic) == ("0123456789ab", 9, len(TRAFFIC))
    assert taught.texts == (lesson_key("old"),)


def test_what_the_champion_has_learnt_is_named_too_since_it_says_what_others_texts_are(folders: Folders) -> None:
    learnt = Taught(owner="0123456789ab", lessons=3, texts=(lesson_key("disputed since"),))
    assert assigned(folders, lesson("new", "refund", 4), learnt=learnt).taught.texts == tuple(
        sorted(map(lesson_key, ("disputed since", "new")))
    )


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="is about who has no torch")
def test_who_has_no_torch_is_told_how_to_get_it(folders: Folders) -> None:
    with pytest.raises(UnavailableError, match="extra `train`"):
        attempt_apart(assigned(folders, lesson("old", "refund", 3)), goes_on=lambda: True)
