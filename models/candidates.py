"""Brings a release that is to be tried beside what serves: fetched, held against its digests, loaded and tested.

All that the two have in common they share: of a head there is nothing more in memory than the head. What cannot be
tried leaves everything as it is. Belongs to the classifiers' event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from models.prediction import TierUnavailableError
from models.release import DamagedReleaseError
from models.served_releases import Installed, announced_of
from models.serving import Candidate
from models.store import InvalidLocationError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from models.catalogue import Catalogue
    from models.classifier import Classifier
    from models.preparation import Announced
    from models.serving import Serving
    from schemas.events import ModelRelease

_log = structlog.get_logger(__name__)

_KEPT_TEXTS = 4_096
"""Whose embeddings are remembered while a shadow may be asked about them: 6 MiB."""
_POLICY_SECONDS = 5.0


class NewCandidate(Protocol):
    """Makes a classifier that shares what it can with the one that serves."""

    def __call__(self, catalogue: Catalogue, announced: Announced, *, beside: Classifier, answers: bool) -> Classifier:
        """Make it; it answers users, or is only asked."""


class CandidatesObserver(Protocol):
    """Who counts. Called on the classifiers' loop; must not block."""

    def release_failed(self, model: str, code: str) -> None:
        """Count that a release could not be brought into service, or be tried."""

    def candidate_ready(self, stage: str | None) -> None:
        """Show whether a release is tried here, and how."""


class Candidates:
    """What is tried, kept in line with what is announced.

    Args:
        serving: What it is tried beside.
        new_candidate: Makes it.
        fetch: Returns the folder of a release, copied from its store.
        misfit: Returns why a release does not go with a catalogue, if it does not.
        observer: Who counts.
    """

    def __init__(
        self,
        serving: Serving,
        *,
        new_candidate: NewCandidate,
        fetch: Callable[[ModelRelease], Awaitable[Path]],
        misfit: Callable[[Installed, Catalogue], Awaitable[str | None]],
        observer: CandidatesObserver,
    ) -> None:
        self._serving = serving
        self._new_candidate = new_candidate
        self._fetch = fetch
        self._misfit = misfit
        self._observer = observer
        self._beside: Classifier | None = None
        self._refused: tuple[str, int] | None = None

    async def bring(
        self, record: ModelRelease | None, catalogue: Catalogue, installed: Mapping[str, Installed]
    ) -> None:
        """Have a release tried beside what serves, or none.

        Args:
            record: Whose `trial` says how; None: nothing is tried.
            catalogue: That serves.
            installed: What serves, by model.

        Raises:
            StoreUnavailableError: It cannot be fetched now.
            OSError: It cannot be kept or read here.
        """
        standing, current = self._serving.candidate, self._serving.current
        if record is None or (record.name, record.revision) == self._refused:
            await self._dismiss()
            return
        if standing is not None and self._beside is current and standing.record == record:
            return
        await self._dismiss()
        try:
            folder = await self._fetch(record)
            candidate = await self._made(Installed(record, folder), catalogue, installed, current)
        except (StoreUnavailableError, OSError) as error:
            code = error.code if isinstance(error, StoreUnavailableError) else type(error).__name__
            self._fail(record, code, str(error))
            raise
        except (DamagedReleaseError, InvalidLocationError, TierUnavailableError) as error:
            self._fail(record, "refused", str(error))
            self._refused = record.name, record.revision
            return
        self._beside = current
        current.keep_embeddings(_KEPT_TEXTS if candidate.stage == "shadow" else 0)
        await self._serving.stand_by(candidate)
        _log.info("candidate_ready", model=record.name, release=record.release, stage=candidate.stage)
        self._observer.candidate_ready(candidate.stage)

    async def _dismiss(self) -> None:
        if self._serving.candidate is None:
            return
        await self._serving.stand_by(None)
        if self._beside is not None:
            self._beside.keep_embeddings(0)
            self._beside = None
        self._observer.candidate_ready(None)

    async def _made(
        self, tried: Installed, catalogue: Catalogue, installed: Mapping[str, Installed], beside: Classifier
    ) -> Candidate:
        """Return the candidate, loaded.

        Raises:
            TierUnavailableError: It cannot serve, whoever tries.
        """
        record = tried.record
        if (other := beside.stood_in_for(record.name)) is not None:
            raise TierUnavailableError(f"{other} answers for that tier")
        if (fault := await self._misfit(tried, catalogue)) is not None:
            raise TierUnavailableError(fault)
        answers = record.trial is not None and record.trial.stage == "rollout"
        announced = announced_of({**installed, record.name: tried})
        new = self._new_candidate(catalogue, announced, beside=beside, answers=answers)
        try:
            await new.start()
            await new.tiers_loaded(patience_seconds=_POLICY_SECONDS)
            await _check(new, record.name)
        except BaseException:
            await new.close()
            raise
        return Candidate(new, record)

    def _fail(self, record: ModelRelease, code: str, reason: str) -> None:
        self._observer.release_failed(record.name, code)
        _log.warning("candidate_failed", model=record.name, release=record.release, code=code, reason=reason)


async def _check(new: Classifier, model: str) -> None:
    """Put a candidate to the test.

    Raises:
        TierUnavailableError: It fails it, or what it is about is not there.
    """
    for name, fault in (await new.faults()).items():
        raise TierUnavailableError(f"its tier {name} fails the test: {fault}")
    tier = new.tiers[model]
    if not tier.ready:
        raise TierUnavailableError(tier.missing or "it is not there")
