"""Knows which fine-tuned network serves and what it was taught, and takes back what was taught of what is forgotten."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import structlog

from models.learning.material import forgotten
from models.release import DISTILBERT, DamagedReleaseError
from models.store import InvalidLocationError, MissingFileError, StoreUnavailableError, fetch_file
from models.taught_network import MOST_BYTES, TAUGHT_FILE, Taught
from schemas.errors import IntentStreamError, UnavailableError
from streams.learning.tried import Tried

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.learning.lessons import Lessons
    from schemas.events import ModelRelease, TrialVerdict
    from streams.release_acts import ReleaseActs

_log = structlog.get_logger(__name__)

BY = "network-learner"
"""Who releases networks that were taught, and takes them back, as the releases' log names it."""

_AGAIN_SECONDS = 30.0
"""Until a release that could not be read is asked for again."""


class Champion(NamedTuple):
    """The network that serves.

    Attributes:
        record: Its release.
        taught: What it has learnt since its owner trained it; of the owner's own: nothing.
    """

    record: ModelRelease
    taught: Taught


class Champions:
    """Tells which network serves. Of one thread.

    Args:
        serving: Returns the network that was announced to serve, as followed here.
    """

    def __init__(self, serving: Callable[[], ModelRelease | None]) -> None:
        self._serving = serving
        self._standing: Champion | None = None
        self._unread: tuple[str, float] = "", 0.0

    def current(self) -> Champion | None:
        """Return it; None where none was announced, and while its release cannot be read."""
        record = self._serving()
        if record is None:
            return None
        if self._standing is not None and self._standing.record.sha256 == record.sha256:
            return self._standing
        if self._unread[0] == record.sha256 and time.monotonic() < self._unread[1]:
            return None
        try:
            self._standing = Champion(record, taught_of(record))
        except (StoreUnavailableError, DamagedReleaseError, InvalidLocationError) as error:
            self._unread = record.sha256, time.monotonic() + _AGAIN_SECONDS
            _log.warning("network_not_read", release=record.release, reason=str(error), again_seconds=_AGAIN_SECONDS)
            return None
        return self._standing


class NetworkWatch:
    """Sees to it that no network serves, or is tried, that was taught what is forgotten since. Of one thread.

    Args:
        champions: Tell what serves.
        tried: Returns the release that is tried beside what serves, as followed here.
        acts: Take back.
        record: Writes to the audit what came of what was tried.
        worker_id: Who we are.
        most: So many texts are remembered; where there are so many, what is missing made room for others.
    """

    def __init__(
        self,
        champions: Champions,
        *,
        tried: Callable[[], ModelRelease | None],
        acts: ReleaseActs,
        record: Callable[[TrialVerdict], None],
        worker_id: str,
        most: int,
    ) -> None:
        self._champions = champions
        self._tried_now = tried
        self._acts = acts
        self._most = most
        self._refused = ""
        self._tried = Tried(
            DISTILBERT,
            lambda tried: taught_of(tried).texts,
            acts=acts,
            record=record,
            by=BY,
            worker_id=worker_id,
            most=most,
        )

    def look(self, lessons: Lessons) -> None:
        """Take back whatever knows a text that is none of the lessons any more.

        Raises:
            UnavailableError: The broker is away.
        """
        champion, tried = self._champions.current(), self._tried_now()
        if champion is not None and (lost := forgotten(lessons, champion.taught.texts, most=self._most)):
            self._go_back(champion, lost)
        if tried is not None:
            try:
                self._tried.see_that_it_may_stay(tried, lessons)
            except (StoreUnavailableError, DamagedReleaseError, InvalidLocationError) as error:
                _log.warning("network_not_read", release=tried.release, reason=str(error))

    def _go_back(self, champion: Champion, lost: int) -> None:
        """Have the owner's network serve again: it has learnt none of what people said."""
        serving = self._acts.read().serving.get(DISTILBERT)
        if serving is None or serving.release != champion.record.release or serving.release == self._refused:
            return  # something else is to serve, of which we are about to hear; or this was refused before
        reason = f"{lost} of the texts that {serving.release} had learnt were forgotten."
        try:
            self._acts.promote(DISTILBERT, champion.taught.owner, by=BY, reason=reason)
        except UnavailableError:
            raise
        except IntentStreamError as error:  # others wrote at once, or the catalogue's intents are others by now
            self._refused = serving.release if error.code != "conflict" else ""
            _log.error("network_not_taken_back", release=serving.release, code=error.code, reason=str(error))
            return
        _log.info("network_taken_back", release=serving.release, forgotten=lost)


def taught_of(record: ModelRelease) -> Taught:
    """Return what a network has learnt since its owner trained it; of the owner's own, nothing.

    Raises:
        StoreUnavailableError: It cannot be read now.
        DamagedReleaseError: What is there is not what was announced.
        InvalidLocationError: Its location cannot be used.
    """
    try:
        content = fetch_file(record.location, record.sha256, TAUGHT_FILE, most_bytes=MOST_BYTES)
        return msgspec.json.decode(content, type=Taught)
    except MissingFileError:
        return Taught(owner=record.release, lessons=0)
    except msgspec.DecodeError as error:
        raise DamagedReleaseError(f"the release at {record.location} has an unreadable {TAUGHT_FILE}") from error
