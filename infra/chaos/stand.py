"""Everything that faults befall: a broker, Redis and Postgres of our own, each behind a proxy, and workers on them."""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from pydantic import SecretStr

from flags.admin import admin_client
from infra.chaos.broker import ProxiedKafkaProgram
from infra.chaos.proxy import FaultProxy
from infra.chaos.worker import MortalWorker
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.postgres import PostgresProgram
from infra.embedded.redis import RedisProgram
from infra.embedded.server import EmbeddedServer
from streams.topics import RESULTS, apply_topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from infra.embedded.server import Program
    from schemas.settings import Settings

_ANSWER_SECONDS = 30

_quiet = logging.getLogger("intentstream.chaos.librdkafka")


class Target:
    """A server and the proxy before it.

    Attributes:
        server: The server.
        proxy: By which workers reach it.
    """

    def __init__(self, program: Program, folder: Path, *, port: int, behind_port: int, proxy_port: int) -> None:
        self.server = EmbeddedServer(program, folder=folder, port=port)
        self.proxy = FaultProxy(port=proxy_port, target=behind_port)

    @property
    def proxied(self) -> str:
        """What a client is given to reach it by way of the proxy."""
        if "://" not in self.server.endpoint:
            return f"{LOOPBACK}:{self.proxy.port}"
        parts = urlsplit(self.server.endpoint)
        place = parts.netloc.rpartition(":")[0]
        return urlunsplit(parts._replace(netloc=f"{place}:{self.proxy.port}"))


class Stand:
    """Use as a context manager: entering starts everything, leaving ends it and removes what it wrote.

    Args:
        settings: Of whoever runs it: the state folder, whose models the workers share, and all that is not about
            where servers are.
        workers: How many.
        say: Told what is being done.
        worker_settings: More of the workers', as `SECTION__NAME`.

    Attributes:
        broker, redis, postgres: What workers talk to.
        workers: Those.
        settings: For clients of our own, who do not come by way of a proxy.
    """

    def __init__(
        self, settings: Settings, *, workers: int, say: Callable[[str], None], **worker_settings: object
    ) -> None:
        self._given = settings
        self._worker_settings = worker_settings
        self._count = workers
        self._say = say
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start the servers and the workers; return when every worker is started, and not ready yet.

        Raises:
            EmbeddedServerError: A server could not be started.
        """
        with ExitStack() as opening:
            self._folder = Path(opening.enter_context(tempfile.TemporaryDirectory(prefix="intentstream-chaos-")))
            self._folder.chmod(0o755)  # Postgres may run as somebody else
            self._start_servers(opening)
            self._apply_topics()
            self._start_workers(opening)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _start_servers(self, opening: ExitStack) -> None:
        behind, proxy = free_port(), free_port()
        kafka = ProxiedKafkaProgram(jars=self._given.state_folder / "jars", behind_port=behind, proxy_port=proxy)
        self.broker = Target(kafka, self._folder / "kafka", port=free_port(), behind_port=behind, proxy_port=proxy)
        self.redis = self._target(RedisProgram())
        self.postgres = self._target(PostgresProgram())
        for target in (self.broker, self.redis, self.postgres):
            self._say(f"starting {target.server.program.name}")
            opening.enter_context(target.proxy)
            opening.callback(target.server.stop)
            target.server.start()
        kafka_settings = self._given.kafka.model_copy(update={"bootstrap_servers": self.broker.server.endpoint})
        postgres = self._given.postgres.model_copy(update={"dsn": SecretStr(self.postgres.server.endpoint)})
        worker = self._given.worker.model_copy(update={"id": "chaos"})
        self.settings = self._given.model_copy(update={"kafka": kafka_settings, "postgres": postgres, "worker": worker})

    def _target(self, program: Program) -> Target:
        port = free_port()
        return Target(program, self._folder / program.name, port=port, behind_port=port, proxy_port=free_port())

    def _apply_topics(self) -> None:
        """Make our topics; results carry the time at which the broker appended them, by which pauses are measured."""
        admin = admin_client({"bootstrap.servers": self.broker.server.endpoint, "logger": _quiet})
        apply_topics(admin, self.settings.topics)
        entry = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, RESULTS, incremental_configs=[entry])
        for done in admin.incremental_alter_configs([resource]).values():
            done.result(_ANSWER_SECONDS)

    def _start_workers(self, opening: ExitStack) -> None:
        """Start them on a state folder of their own, but for the models."""
        models = self._given.state_folder.resolve() / "models"
        models.mkdir(parents=True, exist_ok=True)
        state = self._folder / "state"
        state.mkdir()
        (state / "models").symlink_to(models)
        self.workers = [
            MortalWorker(
                self.broker.proxied,
                state_folder=state,
                log_file=self._folder / f"worker-{number}.log",
                worker_id=f"chaos-{number}",
                REDIS__URL=self.redis.proxied,
                POSTGRES__DSN=self.postgres.proxied,
                TOPICS__PARTITIONS=self.settings.topics.partitions,
                **self._worker_settings,
            )
            for number in range(1, self._count + 1)
        ]
        for worker in self.workers:
            self._say(f"starting {worker.worker_id}")
            opening.enter_context(worker)
