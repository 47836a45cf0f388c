"""A worker's releases: what is announced on their log is brought into service, for as long as the worker runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from confluent_kafka import Consumer
from mode import Service

from flags.clients import follower_config
from flags.log_tail import LogTail, TailObserver
from models.installer import Wanted
from streams.clients import admin_client, client_config
from streams.release_log import InvalidReleaseRecordError, ReleaseLog
from streams.topics import MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from confluent_kafka import Message

    from models.installer import ReleaseInstaller
    from schemas.events import ModelRelease
    from schemas.settings import Settings
    from streams.side_loop import SideLoop

_log = structlog.get_logger(__name__)

_STOP_SECONDS = 2.0


class ReleasesObserver(TailObserver, Protocol):
    """Who counts. Called on the tail's thread; must not block."""

    def release_record_refused(self) -> None:
        """Count a record that is no release."""


class Releases(Service):
    """Follows the releases' log, and has it carried out on the classifiers' loop.

    Args:
        settings: Of the broker.
        installer: Carries it out.
        loop: The classifiers'.
        observer: Who counts.
    """

    def __init__(
        self,
        settings: Settings,
        installer: ReleaseInstaller,
        *,
        loop: SideLoop,
        observer: ReleasesObserver,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        config = follower_config(client_config(settings))
        self._installer = installer
        self._side = loop
        self._observer = observer
        self._tail = LogTail(
            "releases-follower",
            new_consumer=lambda: Consumer(config),
            admin=admin_client(settings),
            topic=MODELS,
            listener=self,
            observer=observer,
        )
        self._folding = ReleaseLog()
        self._first_pass = True
        self._told: Wanted | None = None
        self._tried: ModelRelease | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def behind(self) -> Mapping[str, str]:
        """Return why another release serves than was announced, by model."""
        return self._installer.faults

    @property
    def tried(self) -> ModelRelease | None:
        """Return what is tried, or was until something else came to serve and nobody has noted it. From any thread."""
        return self._tried

    @property
    def serving(self) -> Mapping[str, ModelRelease]:
        """Return what is to serve, by model; nothing before the log has been read to its end. From any thread."""
        told = self._told
        return {} if told is None else told.serving

    async def on_start(self) -> None:
        """Begin to follow; what served last serves until the log's end is reached."""
        self._running = asyncio.create_task(self._side.run(self._installer.run()), name="install-releases")
        self._tail.start()

    async def on_stop(self) -> None:
        """Stop following; what serves goes on."""
        await asyncio.to_thread(self._tail.stop, _STOP_SECONDS)
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    # On the tail's thread.

    def began(self) -> None:
        """Forget what was folded; nothing is carried out before the end has been reached again."""
        self._folding = ReleaseLog()
        self._first_pass = True

    def came(self, records: Sequence[Message], *, at_end: bool) -> None:
        """Fold what came, and have it carried out once it is all there is."""
        for record in records:
            try:
                self._folding.apply(_bytes(record.key()), _bytes(record.value()))
            except InvalidReleaseRecordError as error:
                self._observer.release_record_refused()
                _log.warning("release_record_refused", offset=record.offset(), reason=str(error))
        self._first_pass = self._first_pass and not at_end
        wanted = Wanted(self._folding.serving, self._folding.trial)
        if not self._first_pass and wanted != self._told:
            self._told = wanted
            self._side.call(self._installer.want, self._told)

        if not self._first_pass:
            self._tried = wanted.trial or self._folding.overtaken_trial

    def idled(self) -> None:
        """Have nothing to do."""


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
