"""A network learns what people corrected, and takes its owner's place only where that is better beyond noise."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest

from models.distilbert import LABELS_FILE, MODEL_FILE, TIER_FILE, TOKENIZER_FILE, DistilbertModel
from models.release import read_release
from models.taught_network import TAUGHT_FILE, Taught
from models.training.assignment import Assignment
from schemas.errors import UnavailableError
from tests.kit.tiny_network import LABELS, mistaken, write_tiny_network
from tests.kit.waiting import wait_until

torch = pytest.importorskip("torch", reason="needs the extra `train`: `uv sync --extra train`")
pytestmark = pytest.mark.train

from models.training.apart import attempt_apart  # noqa: E402 - likewise
from models.training.further import Further  # noqa: E402 - imports torch
from models.training.recipe import Recipe  # noqa: E402 - likewise

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from models.training.assignment import Said

torch.set_num_threads(1)

KNOWN = (("where is my parcel", 0), ("is my order back", 0), ("refund please", 1), ("play some music", 2))
RECIPE = Recipe(epochs=30, batch_texts=4, learning_rate=2e-3, head_learning_rate=2e-3)


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_network(tmp_path_factory.mktemp("owner"))


def assignment(owner: Path, out: Path, new: Sequence[Said], guessed: Sequence[Said] = ()) -> Assignment:
    return Assignment(
        owner=str(owner),
        champion=str(owner),
        out=str(out),
        labels=LABELS,
        known=KNOWN,
        shown=tuple(new[::2]),
        held_out=tuple(new[1::2]),
        guessed_by_twin=tuple(guessed),
        guessed=tuple(guessed),
        taught=Taught(owner="0123456789ab", lessons=7, texts=("k1", "k2")),
        seed=0,
        threads=1,
    )


def said(folder: Path, texts: Sequence[str]) -> list[int]:
    columns: list[int] = DistilbertModel(folder, LABELS, threads=1).predict(texts).argmax(axis=1).tolist()
    return columns


def corrected(owner: Path) -> list[Said]:
    """Return what the owner's network gets wrong, corrected."""
    return [(song, 2) for song in mistaken(owner)]


def test_what_is_better_on_corrections_that_its_twin_never_saw_becomes_a_release(owner: Path, tmp_path: Path) -> None:
    new = corrected(owner)
    assert len(new) >= 10
    contest = Further(assignment(owner, tmp_path / "out", new), recipe=RECIPE).attempt()
    assert contest.code == "better", contest.reason
    assert len(KNOWN) < contest.texts < len(KNOWN) + len(new)
    read_release(tmp_path / "out")
    assert sum(column == 2 for column in said(tmp_path / "out", [text for text, _ in new])) > len(new) / 2


def test_it_says_whose_it_was_and_what_it_has_learnt_and_keeps_what_was_not_taught(owner: Path, tmp_path: Path) -> None:
    theirs = shutil.copytree(owner, tmp_path / "theirs")
    (theirs / TIER_FILE).write_text('{"accuracy": 0.5}')
    task = assignment(theirs, tmp_path / "out", corrected(owner))
    assert Further(task, recipe=RECIPE).attempt().promoted
    assert msgspec.json.decode((tmp_path / "out" / TAUGHT_FILE).read_bytes(), type=Taught) == task.taught
    for name in (TIER_FILE, LABELS_FILE, TOKENIZER_FILE):
        assert (tmp_path / "out" / name).read_bytes() == (theirs / name).read_bytes()
    assert (tmp_path / "out" / MODEL_FILE).read_bytes() != (theirs / MODEL_FILE).read_bytes()
    assert read_release(tmp_path / "out").provenance.catalogue == read_release(owner).provenance.catalogue


def test_what_is_no_better_leaves_nothing_behind(owner: Path, tmp_path: Path) -> None:
    texts = ("where is my refund parcel", "where is my refund order")
    right = list(zip(texts, said(owner, texts), strict=True))
    contest = Further(assignment(owner, tmp_path / "out", right), recipe=RECIPE).attempt()
    assert contest.code == "no_better"
    assert not list(tmp_path.iterdir())


def test_too_few_to_keep_some_from_a_twin_are_not_learnt(owner: Path, tmp_path: Path) -> None:
    contest = Further(assignment(owner, tmp_path / "out", corrected(owner)[:1]), recipe=RECIPE).attempt()
    assert (contest.code, contest.texts) == ("no_better", 0)


def test_another_process_comes_to_the_same(owner: Path, tmp_path: Path) -> None:
    here, there = (assignment(owner, tmp_path / name / "out", corrected(owner)) for name in ("here", "there"))
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    ours, theirs = Further(here).attempt(), attempt_apart(there, goes_on=lambda: True)
    assert theirs is not None
    assert (theirs.code, theirs.texts, theirs.champion) == (ours.code, ours.texts, ours.champion)
    assert len(list((tmp_path / "there").iterdir())) == ours.promoted


def test_it_is_given_up_once_nobody_wants_to_know(owner: Path, tmp_path: Path) -> None:
    assert attempt_apart(endless(owner, tmp_path), goes_on=lambda: False) is None


def test_what_it_fails_at_is_said_and_no_text_with_it(owner: Path, tmp_path: Path) -> None:
    missing = msgspec.structs.replace(endless(owner, tmp_path), owner=str(tmp_path / "nowhere"))
    with pytest.raises(UnavailableError) as caught:
        attempt_apart(missing, goes_on=lambda: True)
    assert str(caught.value) == "Training failed: an unexpected FileNotFoundError"


def test_a_process_that_somebody_ends_is_told_of(owner: Path, tmp_path: Path) -> None:
    children = set(_children(os.getpid()))
    ended = threading.Event()

    def end_it() -> bool:
        for child in set(_children(os.getpid())) - children:
            os.kill(child, signal.SIGKILL)
            ended.set()
        return True

    with pytest.raises(UnavailableError, match="ended before it was done"):
        attempt_apart(endless(owner, tmp_path), goes_on=end_it)
    assert ended.is_set()


def test_it_ends_with_the_process_that_asked(owner: Path, tmp_path: Path) -> None:
    (tmp_path / "task.json").write_bytes(msgspec.json.encode(endless(owner, tmp_path)))
    asks = (
        "import sys, msgspec\n"
        "from models.training.apart import attempt_apart\n"
        "from models.training.assignment import Assignment\n"
        "task = msgspec.json.decode(open(sys.argv[1], 'rb').read(), type=Assignment)\n"
        "attempt_apart(task, goes_on=lambda: True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", asks, str(tmp_path / "task.json")]) as asking:
        try:
            wait_until(lambda: len(list(tmp_path.iterdir())) > 1, "it has begun to learn")  # beside the task
            [training] = _children(asking.pid)
        finally:
            asking.kill()
    wait_until(lambda: not _runs(training), "it has ended, too")


def endless(owner: Path, folder: Path) -> Assignment:
    """Return more than can be learnt in the time of a test."""
    lots = tuple((f"play song {number}", 2) for number in range(200_000))
    return assignment(owner, folder / "out", (("some song", 2), ("some music", 2)), lots)


def _children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
