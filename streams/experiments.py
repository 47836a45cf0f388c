"""Looks at the experiment under way: its results are read from the log, each look from where the last one ended.

What was read stays in this process and nowhere else, and is bounded as `flags.comparison` says; whoever looks for the
first time reads all of it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from flags.experiments.acts import since
from flags.experiments.status import assessed, status_of
from flags.experiments.validation import is_running
from schemas.errors import UnavailableError
from streams.evidence import EvidenceReader

if TYPE_CHECKING:
    from flags.comparison import Since
    from flags.experiments.status import ExperimentStatus
    from schemas.events import FlagChange
    from schemas.settings import Settings
    from streams.evidence import Followed

_READ_SECONDS = 0.2
_CURRENT_SECONDS = 1.0
"""Where more comes in all the time, what is younger than this need not be waited for."""
_SILENT_SECONDS = 30.0


class ExperimentEvidence:
    """What the results of an experiment say. Blocking; any thread may look, one at a time does.

    Args:
        settings: Where the broker is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = threading.Lock()
        self._followed: Followed | None = None

    def look(self, flag: FlagChange, effect: float, *, patience_seconds: float) -> ExperimentStatus:
        """Return how an experiment stands, and, while it runs, what its results say.

        Args:
            flag: With an experiment.
            effect: As in `flags.experiments.outlook.Outlook`.
            patience_seconds: How long to read; if that is too short, the findings say that not all was read, and the
                next look reads on.

        Raises:
            UnavailableError: The broker is away, or others look, for too long.
            UnknownFlagError: It has none.
        """
        if not is_running(flag):
            if self._followed is not None and self._followed.comparison.since.flag == flag.name:
                self._followed = None  # what was read is of no more use
            return status_of(flag)
        deadline = time.monotonic() + patience_seconds
        if not self._turn.acquire(timeout=min(patience_seconds, threading.TIMEOUT_MAX)):
            raise UnavailableError("The results are being read already; try again in a moment.")
        try:
            followed, behind_seconds = self._read_on(since(flag), deadline)
            self._followed = followed
            arms = followed.comparison.arms
            return assessed(flag, arms, now_seconds=time.time(), behind_seconds=behind_seconds, effect=effect)
        finally:
            self._turn.release()

    def _read_on(self, place: Since, deadline: float) -> tuple[Followed, float]:
        """Read to the end, or until a deadline; return what was seen and how old what was not read may be."""
        with EvidenceReader(self._settings) as reader:
            if self._followed is not None and self._followed.comparison.since == place:
                reader.resume(self._followed)
            else:
                reader.follow([place])
            silent_since = time.monotonic()
            while reader.behind_seconds > _CURRENT_SECONDS and time.monotonic() < deadline:
                if reader.read(_READ_SECONDS):
                    silent_since = time.monotonic()
                elif time.monotonic() - silent_since > _SILENT_SECONDS:
                    raise UnavailableError("The broker stopped answering before all results were read; try again.")
            return reader.followed(place), reader.behind_seconds
