"""The broker a benchmark runs on: the one that the settings name, else an embedded one in a folder of its own."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from infra.embedded.kafka import KafkaProgram
from infra.embedded.ports import free_port
from infra.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemas.settings import Settings


@contextmanager
def benchmark_broker(settings: Settings, say: Callable[[str], None], *, own: bool = False) -> Iterator[Settings]:
    """Yield settings that name a broker which answers; what was started for it ends with it.

    Args:
        settings: Of whoever runs the benchmark.
        say: Told what is being done.
        own: Whether it must be an embedded one, because what is written would disturb others.
    """
    if settings.kafka.bootstrap_servers and not own:
        yield settings
        return
    with tempfile.TemporaryDirectory() as folder:
        program = KafkaProgram(jars=settings.state_folder / "jars")
        server = EmbeddedServer(program, folder=Path(folder), port=free_port())
        try:
            server.start(say)
            kafka = settings.kafka.model_copy(update={"bootstrap_servers": server.endpoint})
            yield settings.model_copy(update={"kafka": kafka})
        finally:
            server.stop()
