"""A network learns what people corrected, and takes its owner's place only where that is better beyond noise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest

from models.distilbert import BLEND_FILE, DistilbertModel
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
        new=tuple(new),
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
    task = assignment(owner, tmp_path / "out", corrected(owner))
    assert Further(task, recipe=RECIPE).attempt().promoted
    told = msgspec.json.decode((tmp_path / "out" / TAUGHT_FILE).read_bytes(), type=Taught)
    assert told == task.taught
    assert "song" not in (tmp_path / "out" / TAUGHT_FILE).read_text()
    assert read_release(tmp_path / "out").provenance.catalogue == read_release(owner).provenance.catalogue
    assert (tmp_path / "out" / BLEND_FILE).is_file() == (owner / BLEND_FILE).is_file()


def test_what_is_no_better_leaves_nothing_behind(owner: Path, tmp_path: Path) -> None:
    right = [("where is my refund parcel", said(owner, ["where is my refund parcel"])[0])]
    contest = Further(assignment(owner, tmp_path / "out", right), recipe=RECIPE).attempt()
    assert contest.code == "no_better"
    assert not (tmp_path / "out").exists()


def test_another_process_comes_to_the_same(owner: Path, tmp_path: Path) -> None:
    task = assignment(owner, tmp_path / "out", corrected(owner)[:2])
    assert attempt_apart(task, goes_on=lambda: True) == Further(task).attempt()


def test_it_is_given_up_once_nobody_wants_to_know(owner: Path, tmp_path: Path) -> None:
    assert attempt_apart(endless(owner, tmp_path), goes_on=lambda: False) is None


def test_what_it_fails_at_is_said_and_no_text_with_it(owner: Path, tmp_path: Path) -> None:
    missing = msgspec.structs.replace(assignment(owner, tmp_path / "out", ()), owner=str(tmp_path / "nowhere"))
    with pytest.raises(UnavailableError, match=r"Training failed: an unexpected FileNotFoundError"):
        attempt_apart(missing, goes_on=lambda: True)


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
            wait_until(lambda: bool(_children(asking.pid)), "it has begun")
            [training] = _children(asking.pid)
        finally:
            asking.kill()
    wait_until(lambda: not _runs(training), "it has ended, too")


def endless(owner: Path, folder: Path) -> Assignment:
    """Return more than can be learnt in the time of a test."""
    lots = tuple((f"play song {number}", 2) for number in range(200_000))
    return assignment(owner, folder / "out", (), lots)


def _children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
