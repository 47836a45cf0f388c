"""Sees to it that no release is tried that has learnt what was forgotten since."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from models.learning.material import forgotten
from schemas.events import TrialVerdict
from streams.results import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from models.learning.lessons import Lessons
    from models.release import ModelName
    from schemas.events import ModelRelease
    from streams.release_acts import ReleaseActs


class Tried:
    """One model's. Of one thread.

    Args:
        model: Whose releases it looks at.
        texts: Returns the keys of the lessons that a release has learnt.
        acts: Withdraws.
        record: Writes to the audit what came of it.
        by: Who withdraws, as the releases' log names it.
        worker_id: Who we are.
        most: So many texts are remembered; where there are so many, what is missing made room for others.
    """

    def __init__(
        self,
        model: ModelName,
        texts: Callable[[ModelRelease], Collection[str]],
        *,
        acts: ReleaseActs,
        record: Callable[[TrialVerdict], None],
        by: str,
        worker_id: str,
        most: int,
    ) -> None:
        self._model = model
        self._texts = texts
        self._acts = acts
        self._record = record
        self._by = by
        self._worker_id = worker_id
        self._most = most
        self._learnt: tuple[str, Collection[str]] = ("", ())

    def see_that_it_may_stay(self, tried: ModelRelease, lessons: Lessons) -> None:
        """Withdraw a release that is tried if a text is forgotten that it has learnt.

        Raises:
            UnavailableError: The broker, or the store, is away.
        """
        if tried.name != self._model:
            return
        if self._learnt[0] != tried.sha256:
            self._learnt = tried.sha256, self._texts(tried)
        lost = forgotten(lessons, self._learnt[1], most=self._most)
        if not lost:
            return
        current = self._acts.read().trial
        if current is None or current.release != tried.release:
            return
        reason = f"{lost} of the texts that it has learnt were forgotten."
        self._acts.withdraw(self._model, tried.release, by=self._by, reason=reason)
        self._record(
            TrialVerdict(
                model=self._model,
                release=tried.release,
                stage="rollout" if tried.trial is not None and tried.trial.stage == "rollout" else "shadow",
                code="forgotten",
                reason=reason,
                judged_by=self._worker_id,
                judged_at=timestamp(time.time()),
            )
        )
