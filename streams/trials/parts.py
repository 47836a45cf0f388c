"""A worker's part in trying releases: what asks them, what reports, and what judges."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, Producer
from mode import Service

from streams.clients import election_consumer_config, producer_config
from streams.fleet.election import Election
from streams.learning.audit import write_to_audit
from streams.release_acts import ReleaseActs
from streams.topics import MODELS
from streams.trials.reader import TrialReader
from streams.trials.reports import Reports
from streams.trials.runner import TrialRunner
from streams.trials.shadow import Shadow

if TYPE_CHECKING:
    from collections.abc import Callable

    from flags.acts import Log
    from flags.evaluation import Snapshot
    from models.serving import Serving
    from schemas.events import ModelRelease
    from schemas.settings import Settings
    from streams.observer import StreamObserver
    from streams.publisher import Publisher


class TrialParts(Service):
    """All of a worker that has to do with trials, built and tied together; as a service, for what it starts.

    Args:
        settings: Of everything.
        serving: What answers, and what is tried beside it.
        publisher: Who puts reports on their topic.
        tried: Returns the release that is tried, as followed here.
        flag_log: Reads and writes the flags.
        flags: Returns them as they stand.
        wait_for_flags: Returns whether they have been read to their end, waiting so many seconds for that at most.
        browned_out: Returns whether utterances wait.
        observer: Counts.

    Attributes:
        shadow: Asks what is tried.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        serving: Serving,
        publisher: Publisher,
        tried: Callable[[], ModelRelease | None],
        flag_log: Log,
        flags: Callable[[], Snapshot],
        wait_for_flags: Callable[[float], bool],
        browned_out: Callable[[], bool],
        observer: StreamObserver,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._reports = Reports(publisher.publish, observer)
        self.shadow = Shadow(
            serving,
            per_second=settings.learning.shadow_per_second,
            browned_out=browned_out,
            report=self._reports.send,
            worker_id=settings.worker.id,
            observer=observer,
        )
        self._runner = TrialRunner(
            settings.learning,
            new_election=lambda: Election(
                lambda: Consumer(election_consumer_config(settings, "trials")), MODELS, "trials"
            ),
            new_reader=lambda: TrialReader(settings),
            tried=tried,
            acts=ReleaseActs(settings),
            flag_log=flag_log,
            flags=flags,
            record=lambda verdict: write_to_audit(Producer(producer_config(settings)), verdict),
            wait_for_flags=wait_for_flags,
            worker_id=settings.worker.id,
            observer=observer,
        )

    async def on_start(self) -> None:
        """Begin to report, and become a candidate for judging."""
        self._reports.open()
        self._runner.start()

    async def on_stop(self) -> None:
        """Let others judge at once."""
        self._reports.close()
        await asyncio.to_thread(self._runner.stop)
