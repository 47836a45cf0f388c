"""A worker's part in releases: what serves, what has another serve when one is announced, the routes that announce."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flags.api.blocking import BlockingCalls
from models.catalogue import default_catalogue_path, load_catalogue
from models.classifier import Classifier
from models.installer import ReleaseInstaller
from models.served_releases import ServedReleases
from models.serving import Serving
from models.threads import DaemonThread
from schemas.access import Access
from streams.garbage import keep_for_good
from streams.release_acts import ReleaseActs
from streams.release_routes import ReleaseRoutes
from streams.releases import Releases

if TYPE_CHECKING:
    from models.catalogue import Catalogue
    from models.preparation import Announced
    from schemas.settings import Settings
    from streams.observer import StreamObserver
    from streams.side_loop import SideLoop

_RELEASE_SECONDS = 30.0
"""How long who promotes a release waits; what it needs of it is fetched from the store."""


class ReleaseParts:
    """All of a worker that has to do with releases, built and tied together, not started.

    Args:
        settings: Of everything.
        loop: The classifiers'.
        observer: Counts.

    Attributes:
        serving: What answers; at first the classifier of what served here last.
        follower: Has what is announced brought into service.
        routes: Tell of releases, and announce them.

    Raises:
        IntentStreamError: The catalogue cannot be used.
    """

    def __init__(self, settings: Settings, *, loop: SideLoop, observer: StreamObserver) -> None:
        self._settings = settings
        self._observer = observer
        self._fitter = DaemonThread(
            "fit-policy"
        )  # one for all, so that quick swaps do not fit several at the same time
        own = load_catalogue(settings.models.catalogue or default_catalogue_path())
        served = ServedReleases(settings.state_folder / "models", own)
        self.serving = Serving(self._new_classifier(served.catalogue, served.announced))
        installer = ReleaseInstaller(
            settings,
            self.serving,
            new_classifier=self._new_classifier,
            new_candidate=self._new_candidate,
            served=served,
            own=own,
            observer=observer,
            settled=keep_for_good,
        )
        self.follower = Releases(settings, installer, loop=loop, observer=observer)
        self.routes = ReleaseRoutes(
            access=Access(settings.access.tokens),
            acts=ReleaseActs(settings),
            calls=BlockingCalls("releases", threads=1, waiting=3, deadline_seconds=_RELEASE_SECONDS),
        )

    def _new_classifier(self, catalogue: Catalogue, announced: Announced) -> Classifier:
        return Classifier(self._settings, catalogue, announced=announced, fitter=self._fitter, observer=self._observer)

    def _new_candidate(
        self, catalogue: Catalogue, announced: Announced, *, beside: Classifier, answers: bool
    ) -> Classifier:
        return Classifier(
            self._settings,
            catalogue,
            announced=announced,
            fitter=self._fitter,
            share=answers,
            beside=beside,
            observer=self._observer if answers else None,
        )
