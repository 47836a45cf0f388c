"""What is kept and shown of a child's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.embedded import log_file
from infra.embedded.log_file import LogFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "server.log")


def test_its_tail_is_what_was_written_since_the_last_beginning(log: LogFile) -> None:
    assert log.tail() == ""
    log.path.write_text("a death of old\n")
    log.begin()
    assert log.tail() == ""
    with log.path.open("a") as appended:
        appended.write("a death of today\n")
    assert log.tail() == "a death of today\n"


def test_its_tail_is_short_and_text_whatever_was_written(log: LogFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "_TAIL_BYTES", 4)
    log.path.write_bytes(b"much before \xff the end")
    assert log.tail() == " end"


def test_one_that_has_grown_large_is_put_aside_in_place_of_the_one_before(
    log: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "_LARGE_BYTES", 10)
    for text in ("an older one", "the last one"):
        log.path.write_text(text)
        log.begin()
    aside = log.path.with_suffix(".log.1")
    assert (aside.read_text(), log.path.exists()) == ("the last one", False)
