"""Puts the flags' HTTP routes together with what a worker has: its follower, its writer, the audit, the others."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from mode import Service

from flags.api.blocking import BlockingCalls
from flags.api.ofrep import RemoteEvaluation
from flags.api.reading import FlagReading
from flags.api.writing import FlagWriting
from flags.audit_index import AuditIndex
from flags.experiments.routes import ExperimentRoutes
from flags.history import read_history
from flags.log_reader import LogReader
from flags.rollouts.routes import RolloutRoutes
from schemas.access import Access
from streams.topics import FLAGS_AUDIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from aiohttp import web
    from confluent_kafka import Consumer

    from flags.experiments.status import ExperimentStatus
    from flags.follower import Follower
    from flags.propagation import Propagation
    from flags.rollouts.status import RolloutStatus
    from flags.writer import Writer
    from schemas.events import FlagChange
    from schemas.settings import Settings

_DEADLINE_SECONDS = 15.0
_READERS, _WAITING_READERS = 2, 8
"""Of the audit, and as many of results: who reads one for long keeps nobody from the other."""
_WRITERS, _WAITING_WRITERS = 1, 63
"""Writes take turns anyway; one is a matter of milliseconds."""


class FlagRoutes(Service):
    """The flags' HTTP routes; as a service, for the threads they wait on.

    Args:
        settings: Who may read and write.
        follower: Holds the flags that this worker decides by.
        writer: Makes changes.
        overrides: What this worker's environment says.
        propagation: Knows when a change is in force everywhere.
        hold: Returns when it is certain that what this worker knows still counts.
        new_consumer: Makes a consumer as `flags.clients.reader_config` configures it.
        judge: Returns where a flag's rollout stands, by the evidence on the log; blocking.
        look: Returns how a flag's experiment stands and, given an effect, how long it takes to find that; blocking.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        follower: Follower,
        writer: Writer,
        overrides: Mapping[str, bool],
        propagation: Propagation,
        hold: Callable[[], Awaitable[None]],
        new_consumer: Callable[[], Consumer],
        judge: Callable[[FlagChange], RolloutStatus],
        look: Callable[[FlagChange, float], ExperimentStatus],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._new_consumer = new_consumer
        self._reads = BlockingCalls(
            "flag-reads", threads=_READERS, waiting=_WAITING_READERS, deadline_seconds=_DEADLINE_SECONDS
        )
        self._looks = BlockingCalls(
            "evidence-reads", threads=_READERS, waiting=_WAITING_READERS, deadline_seconds=_DEADLINE_SECONDS
        )
        self._writes = BlockingCalls(
            "flag-writes", threads=_WRITERS, waiting=_WAITING_WRITERS, deadline_seconds=_DEADLINE_SECONDS
        )
        access = Access(settings.access.tokens)
        self._routed = (
            FlagReading(
                access=access,
                follower=follower,
                overrides=overrides,
                read_audit=self._read_audit,
                changes_of=AuditIndex(self._open_audit).changes_of,
                hold=hold,
                calls=self._reads,
            ),
            FlagWriting(
                access=access,
                write=writer.write,
                snapshot=lambda: follower.snapshot,
                overrides=overrides,
                propagation=propagation,
                calls=self._writes,
            ),
            RolloutRoutes(
                access=access,
                log=writer,
                snapshot=lambda: follower.snapshot,
                judge=judge,
                reads=self._looks,
                writes=self._writes,
            ),
            ExperimentRoutes(
                access=access,
                log=writer,
                snapshot=lambda: follower.snapshot,
                look=look,
                reads=self._looks,
                writes=self._writes,
            ),
            RemoteEvaluation(access=access, snapshot=lambda: follower.snapshot, hold=hold),
        )

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""
        return [route for each in self._routed for route in each.routes()]

    async def on_stop(self) -> None:
        """Take no more calls."""
        self._reads.close()
        self._looks.close()
        self._writes.close()

    def _read_audit(self) -> Iterator[FlagChange]:
        with self._open_audit() as reader:
            yield from read_history(reader)

    @contextmanager
    def _open_audit(self) -> Iterator[LogReader]:
        with closing(self._new_consumer()) as consumer:
            yield LogReader(consumer, FLAGS_AUDIT)
