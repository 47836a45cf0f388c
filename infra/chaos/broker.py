"""The embedded broker with a second listener, which tells its clients to come by way of a proxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.embedded.kafka import KafkaProgram
from infra.embedded.ports import LOOPBACK

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from infra.embedded.process import Launch
    from infra.embedded.server import Say


@dataclass(frozen=True, kw_only=True)
class ProxiedKafkaProgram(KafkaProgram):
    """How to run it. Whoever connects to its first listener is told that one's address, as ever.

    Attributes:
        behind_port: Where the proxy is to connect to.
        proxy_port: Where the proxy listens: what clients of the second listener are told.
    """

    behind_port: int
    proxy_port: int

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:
        """Write the second listener into what the embedded broker writes."""
        launch = super().prepare(folder, port, say=say, cancelled=cancelled)
        properties = folder / "server.properties"
        lines = dict(line.split("=", 1) for line in properties.read_text().splitlines())
        lines["listeners"] += f",PROXIED://{LOOPBACK}:{self.behind_port}"
        lines["advertised.listeners"] = f"PLAINTEXT://{LOOPBACK}:{port},PROXIED://{LOOPBACK}:{self.proxy_port}"
        lines["listener.security.protocol.map"] += ",PROXIED:PLAINTEXT"
        properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        return launch
