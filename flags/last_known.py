"""The last-known-good snapshot on disk, so that a worker starts with the flags it had, broker or no broker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import structlog

from flags.evaluation import digest
from schemas.events import FlagChange  # noqa: TC001 - msgspec reads it from here

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_log = structlog.get_logger(__name__)

_FORMAT = 1
_MAX_BYTES = 64 * 1024 * 1024


class LastKnown(msgspec.Struct, frozen=True, kw_only=True):
    """A state of all flags, as it is kept on disk.

    Attributes:
        format: Of the file.
        revision: Of the newest change.
        digest: Of the changes; a file that was cut off or edited does not agree with it.
        changes: The latest of each flag.
    """

    format: int = _FORMAT
    revision: int
    digest: str
    changes: tuple[FlagChange, ...]


def save_last_known(path: Path, changes: Mapping[str, FlagChange], revision: int) -> None:
    """Write a state, whole or not at all.

    Raises:
        OSError: The disk is full, or the folder is not ours.
    """
    state = LastKnown(revision=revision, digest=digest(changes), changes=tuple(changes.values()))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load_last_known(path: Path) -> LastKnown | None:
    """Return the state that was written last; None if there is none, or none that can be trusted, which is logged."""
    try:
        with path.open("rb") as file:
            state = msgspec.json.decode(file.read(_MAX_BYTES), type=LastKnown)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _log.warning("flags_last_known_unreadable", path=str(path), fault=type(error).__name__)
        return None
    if state.format != _FORMAT or state.digest != digest({change.name: change for change in state.changes}):
        _log.warning("flags_last_known_unreadable", path=str(path), fault="it was changed or is of another release")
        return None
    return state
