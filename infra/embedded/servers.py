"""The embedded servers that a start needs: those whose place no setting gives to a server of the user's own."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Protocol, Self

from infra.embedded.errors import StartCancelledError
from infra.embedded.kafka import KafkaProgram
from infra.embedded.postgres import PostgresProgram
from infra.embedded.redis import RedisProgram
from infra.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from types import TracebackType

    from schemas.settings import Settings


class OnProgress(Protocol):
    """Told what each server is about to do."""

    def __call__(self, name: str, message: str, /) -> None:
        """Take a server's name and a short phrase. Called from several threads."""


class EmbeddedServers:
    """Starts, side by side, the servers that the settings do not name; stops them at the end.

    Clients find them where `settings.kafka_servers`, `settings.redis_url` and `settings.postgres_dsn` say.

    Raises:
        EmbeddedServerError: On entering: one of them could not be started; none of them runs then.
    """

    def __init__(self, settings: Settings, *, on_progress: OnProgress = lambda _name, _message: None) -> None:
        self._on_progress = on_progress
        self.servers = needed_servers(settings)

    def __enter__(self) -> Self:
        """Start them and return when all of them answer."""
        pool = ThreadPoolExecutor(max_workers=max(1, len(self.servers)), thread_name_prefix="embedded")
        try:
            starts = [pool.submit(self._start, server) for server in self.servers]
            done, _ = wait(starts, return_when=FIRST_EXCEPTION)
            for start in done:
                start.result()
        except BaseException:
            for server in self.servers:
                server.cancel_start()
            pool.shutdown()
            self._stop()
            raise
        pool.shutdown()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them."""
        self._stop()

    def _start(self, server: EmbeddedServer) -> None:
        def say(message: str) -> None:
            self._on_progress(server.program.name, message)

        try:
            server.start(say)
        except StartCancelledError:
            return  # another one failed, and says why
        say(f"ready at {server.endpoint}")

    def _stop(self) -> None:
        if self.servers:
            with ThreadPoolExecutor(max_workers=len(self.servers), thread_name_prefix="embedded") as pool:
                list(pool.map(EmbeddedServer.stop, self.servers))


def needed_servers(settings: Settings) -> list[EmbeddedServer]:
    """Return the servers that the settings name none of, not started yet."""
    state, ports = settings.state_folder, settings.embedded
    servers = []
    if not settings.kafka.bootstrap_servers:
        program = KafkaProgram(jars=state / "jars")
        servers.append(EmbeddedServer(program, folder=state / "kafka", port=ports.kafka_port))
    if not settings.redis.url:
        servers.append(EmbeddedServer(RedisProgram(), folder=state / "redis", port=ports.redis_port))
    if not settings.postgres.dsn:
        servers.append(EmbeddedServer(PostgresProgram(), folder=state / "postgres", port=ports.postgres_port))
    return servers
