"""Brings announced releases into service: fetched, held against their digests, loaded and tried beside what serves.

Then they take its place at once. What cannot be had leaves in its place what serves, and is told. Belongs to the
classifiers' event loop; what blocks runs on a thread of its own.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import structlog

from models.candidates import Candidates, CandidatesObserver
from models.catalogue import load_catalogue
from models.catalogue_release import CATALOGUE_FILE
from models.distilbert import LABELS_FILE, check_labels
from models.prediction import TierUnavailableError
from models.release import CATALOGUE, DISTILBERT, ZERO_SHOT, DamagedReleaseError, release_name
from models.served_releases import Installed, announced_of
from models.store import InvalidLocationError, StoreUnavailableError, fetch_release, prune
from models.threads import DaemonThread
from models.zero_shot_release import MADE_FOR_FILE, check_made_for
from schemas.errors import IntentStreamError, InvalidCatalogueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from models.candidates import NewCandidate
    from models.catalogue import Catalogue
    from models.classifier import Classifier
    from models.preparation import Announced
    from models.served_releases import ServedReleases
    from models.serving import Serving
    from schemas.events import ModelRelease
    from schemas.settings import Settings

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 60.0

_POLICY_SECONDS = 5.0
"""How long thresholds are waited for; those of a catalogue that is new here are fitted while it serves."""

MODELS = (CATALOGUE, DISTILBERT, ZERO_SHOT)
"""What can be announced, in the order in which it is looked at."""


class Wanted(NamedTuple):
    """What is announced.

    Attributes:
        serving: What is to serve, by model; a model that is not among them is served as the settings have it.
        trial: What is to be tried beside that, and how.
    """

    serving: Mapping[str, ModelRelease]
    trial: ModelRelease | None = None


class ReleaseRefusedError(IntentStreamError):
    """A release that cannot serve, whoever fetches it; another must be promoted."""

    code = "refused"
    http_status = 422


class InstallerObserver(CandidatesObserver, Protocol):
    """Who counts. Called on the installer's loop; must not block."""

    def release_swapped(self, release: str) -> None:
        """Show what serves from now on."""

    def releases_behind(self, models: Mapping[str, str]) -> None:
        """Show for which models something else serves than was announced."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class ReleaseInstaller:
    """What serves, kept in line with what is announced.

    Args:
        settings: Where to fetch to, and how much.
        serving: What is replaced.
        new_classifier: Makes the next.
        new_candidate: Makes what is tried beside it.
        served: What serves as we begin, and where that is kept for the next start.
        own: The catalogue to serve where none is announced.
        observer: Who counts.
        settled: Called when another has come to serve and the former is gone.
    """

    def __init__(
        self,
        settings: Settings,
        serving: Serving,
        *,
        new_classifier: Callable[[Catalogue, Announced], Classifier],
        new_candidate: NewCandidate,
        served: ServedReleases,
        own: Catalogue,
        observer: InstallerObserver,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._serving = serving
        self._new_classifier = new_classifier
        self._served = served
        self._own = own
        self._observer = observer
        self._settled = settled
        self._root = served.root
        self._wanted: Wanted = Wanted({})
        self._candidates = Candidates(
            serving, new_candidate=new_candidate, fetch=self._fetched, misfit=self._misfit, observer=observer
        )
        self._news = asyncio.Event()
        self._refused: dict[tuple[str, int], str] = {}
        self._thread = DaemonThread("fetch-releases")
        self._faults: Mapping[str, str] = {}
        self._failures = 0

    @property
    def faults(self) -> Mapping[str, str]:
        """Return why something else serves than was announced, by model. From any thread."""
        return self._faults

    def want(self, wanted: Wanted) -> None:
        """Bring what is announced into service, and beside it."""
        self._wanted = wanted
        self._failures = 0
        self._news.set()

    async def run(self) -> None:
        """Follow what is wanted until cancelled."""
        try:
            while True:
                await self._wait()
                await self._guarded()
        finally:
            self._thread.shutdown()

    async def _wait(self) -> None:
        """Return when there is news, or when it is time to try again what failed and may not fail again."""
        seconds = None
        if self._failures:
            longest = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2 ** (self._failures - 1))
            seconds = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def _guarded(self) -> None:
        self._news.clear()
        failures, self._failures = self._failures, 0
        try:
            faults = await self._install(self._wanted.serving)
            await self._bring()
        except OSError as error:
            _log.warning("release_not_installed", error=error.strerror)
            faults = dict.fromkeys(self._wanted.serving, f"It could not be brought into service: {error.strerror}.")
            self._failures = 1
        except Exception as error:  # noqa: BLE001 - the guard of the loop: a bug leaves in place what serves
            self._observer.unexpected("release_installer")
            _log.exception("release_not_installed", error=type(error).__name__)
            faults = dict.fromkeys(
                self._wanted.serving, f"It could not be brought into service: {type(error).__name__}."
            )
            self._failures = 1
        if self._failures:
            self._failures += failures
        self._faults = faults
        self._observer.releases_behind(faults)

    async def _bring(self) -> None:
        """Have what is to be tried stand beside what serves; what keeps it from that is told where it is met."""
        try:
            await self._candidates.bring(self._wanted.trial, self._served.catalogue, self._served.installed)
        except (StoreUnavailableError, OSError):
            self._failures = 1

    async def _install(self, wanted: Mapping[str, ModelRelease]) -> dict[str, str]:
        """Bring into service what can be; return why what cannot be cannot, by model."""
        await self._serving.current.tiers_loaded(patience_seconds=0)
        faults: dict[str, str] = {}
        after = {name: each for name in MODELS if (each := await self._had(name, wanted.get(name), faults)) is not None}
        catalogue = await self._catalogue(after, faults)
        await self._fit(after, catalogue, faults)
        if _digests(after) != _digests(self._served.installed) or self._is_lame(after, faults):
            await self._swap(catalogue, after, faults)
        elif after != self._served.installed:  # the same, announced again
            self._served.keep(catalogue, after)
        return faults

    def _is_lame(self, after: Mapping[str, Installed], faults: Mapping[str, str]) -> bool:
        """Return whether what was restored from the disk is not all there."""
        tier = self._serving.current.tiers[DISTILBERT]
        return DISTILBERT in after and DISTILBERT not in faults and not tier.ready

    async def _had(self, name: str, record: ModelRelease | None, faults: dict[str, str]) -> Installed | None:
        """Return the announced release, fetched; where that cannot be had, what serves; None where there is none."""
        serving, current = self._served.installed.get(name), self._serving.current
        if record is None or current.stood_in_for(name) is not None:
            return None
        if (fault := self._refused.get((name, record.revision))) is not None:
            faults[name] = fault
            return serving
        if serving is not None and serving.record.sha256 == record.sha256 and current.tiers[DISTILBERT].ready:
            return Installed(record, serving.folder)
        try:
            folder = await self._fetched(record)
        except StoreUnavailableError as error:
            self._fail(record, error, faults)
            self._failures = 1
            return serving
        except (DamagedReleaseError, InvalidLocationError) as error:
            self._refuse(record, error, faults)
            return serving
        return Installed(record, folder)

    async def _fetched(self, record: ModelRelease) -> Path:
        """Return the folder of a release, copied from its store unless it is here already."""
        most = self._settings.models.max_release_bytes
        return await self._off_the_loop(
            lambda: fetch_release(record.location, record.sha256, self._root, max_bytes=most)
        )

    async def _catalogue(self, after: dict[str, Installed], faults: dict[str, str]) -> Catalogue:
        """Return the catalogue to serve; the one that serves, where the new one makes no sense."""
        installed = after.get(CATALOGUE)
        if installed is None:
            return self._own
        try:
            return await self._off_the_loop(lambda: load_catalogue(installed.folder / CATALOGUE_FILE))
        except (InvalidCatalogueError, OSError) as error:
            self._refuse(installed.record, error, faults)
            self._keep(CATALOGUE, after)
            return self._served.catalogue

    async def _fit(self, after: dict[str, Installed], catalogue: Catalogue, faults: dict[str, str]) -> None:
        """See that what was trained goes with the catalogue, or say that it is left out."""
        for name in (DISTILBERT, ZERO_SHOT):
            installed = after.get(name)
            if installed is None or (fault := await self._misfit(installed, catalogue)) is None:
                continue
            faults[name] = f"{installed.record.release} is left out: {fault}."
            serving = self._served.installed.get(name)
            if serving is not None and serving != installed and await self._misfit(serving, catalogue) is None:
                after[name] = serving
            elif name == ZERO_SHOT:  # unlike the fine-tuned tier, it can be made from the catalogue
                del after[name]

    async def _misfit(self, installed: Installed, catalogue: Catalogue) -> str | None:
        try:
            if installed.record.name == ZERO_SHOT:
                content = await self._off_the_loop((installed.folder / MADE_FOR_FILE).read_bytes)
                check_made_for(content, catalogue.digest)
            else:
                content = await self._off_the_loop((installed.folder / LABELS_FILE).read_bytes)
                check_labels(content, catalogue.labels)
        except (TierUnavailableError, OSError) as error:
            return str(error)
        return None

    async def _swap(self, catalogue: Catalogue, after: dict[str, Installed], faults: dict[str, str]) -> None:
        """Load what is to serve, try it, and have it serve; or say which of it cannot, and leave what serves."""
        new = self._new_classifier(catalogue, announced_of(after))
        try:
            await new.start()
            await new.tiers_loaded(patience_seconds=_POLICY_SECONDS)
            name, why = await self._what_is_wrong(new, after, faults)
        except BaseException:
            await new.close()
            raise
        if why is not None:
            await new.close()
            changed = after.get(name) or next(iter(after.values()), None)
            if changed is not None:
                self._refuse(changed.record, ReleaseRefusedError(why), faults)
                self._news.set()  # the other may serve without it
            return
        await self._serving.replace(new)
        _log.info("release_swapped", release=new.release)
        self._observer.release_swapped(new.release)
        self._settled()
        self._served.keep(catalogue, after)
        await self._off_the_loop(self._prune)

    async def _what_is_wrong(
        self, new: Classifier, after: Mapping[str, Installed], faults: Mapping[str, str]
    ) -> tuple[str, str | None]:
        """Return which release is to blame and why, if the new classifier is worse than what serves."""
        wrong = await new.faults()
        for tier, fault in wrong.items():
            return _to_blame(tier, after), f"its tier {tier} fails the test: {fault}"
        for tier, each in new.tiers.items():
            wanted = tier == DISTILBERT and DISTILBERT in after and DISTILBERT not in faults
            had = tier != DISTILBERT and self._serving.current.tiers[tier].ready
            if (wanted or had) and not each.ready:
                return _to_blame(tier, after), f"its tier {tier} is not there: {each.missing}"
        return "", None

    def _keep(self, name: str, after: dict[str, Installed]) -> None:
        serving = self._served.installed.get(name)
        if serving is None:
            del after[name]
        else:
            after[name] = serving

    def _fail(self, record: ModelRelease, error: Exception, faults: dict[str, str]) -> None:
        code = error.code if isinstance(error, IntentStreamError) else type(error).__name__
        faults[record.name] = f"{record.release} does not serve: {error}"
        self._observer.release_failed(record.name, code)
        _log.warning("release_failed", model=record.name, release=record.release, code=code, reason=str(error))

    def _refuse(self, record: ModelRelease, error: Exception, faults: dict[str, str]) -> None:
        self._fail(record, error, faults)
        self._refused[record.name, record.revision] = faults[record.name]

    def _prune(self) -> None:
        """Keep what serves, and what a rollback would bring back."""
        kept = {each.record.sha256 for each in self._served.installed.values()}
        if self._wanted.trial is not None:
            kept.add(self._wanted.trial.sha256)
        before = {name for each in self._served.installed.values() for name in each.record.previous[:1]}
        prune(self._root, lambda digest: digest in kept or release_name(digest) in before)

    async def _off_the_loop(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _to_blame(tier: str, after: Mapping[str, Installed]) -> str:
    """Return which release a tier's fault is, for what is no release's own tier is made from the catalogue."""
    return tier if tier == DISTILBERT or (tier == ZERO_SHOT and tier in after) else CATALOGUE


def _digests(installed: Mapping[str, Installed]) -> dict[str, str]:
    return {name: each.record.sha256 for name, each in installed.items()}
