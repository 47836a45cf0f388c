"""Starts a Faust app without Faust's own Kafka clients, in our order, and stops it in the reverse.

Faust runs the agents, services, timers and their supervision. Its consumer and producer would be a second member of
a second group that nobody reads from (docs/adr/0002), so they are left out; what agents read comes from the intake.
"""

from __future__ import annotations

import asyncio
import signal
from itertools import chain
from typing import TYPE_CHECKING, Any

import faust
import faust.app
from mode.utils.locks import Event

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mode.types import ServiceT


class _Boot(faust.app.BootStrategy):
    """First the services that must answer before all else, then the agents, then what feeds them."""

    enable_kafka = False
    enable_web = False
    enable_sensors = False

    app: StreamApp

    def server(self) -> Iterable[ServiceT]:
        """Return all services in the order of their start."""
        return chain(self.app.before_agents, self.agents(), self.app.after_agents)


class StreamApp(faust.App):
    """A Faust app whose agents read channels. Make it on the event loop it is to run on: Faust binds to that loop.

    Args:
        name: Of the app.
        folder: Where Faust may keep files; it keeps none of its own accord.
    """

    BootStrategy = _Boot

    def __init__(self, name: str, *, folder: Path) -> None:
        self.before_agents: list[ServiceT] = []
        self.after_agents: list[ServiceT] = []
        super().__init__(name, broker="kafka://", store="memory://", datadir=folder, topic_disable_leader=True)

    def new_channel(self, size: int) -> Any:
        """Return a channel for any values that holds so many, open although Faust itself was assigned no partition."""
        self.flow_control.resume()
        return self.channel(maxsize=size)


async def serve(app: StreamApp) -> None:
    """Run the app until SIGINT or SIGTERM, then stop it in good order.

    Raises:
        BaseException: What crashed a service, or kept it from starting.
    """
    loop = asyncio.get_running_loop()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    app.in_worker = True
    try:
        await _start_and_wait(app, stop)
    finally:
        await app.stop()
    if app.crash_reason is not None:
        raise app.crash_reason


async def _start_and_wait(app: StreamApp, stop: Event) -> None:
    """Return once the app is to stop; a start that is still under way then is given up: models may take minutes."""
    starting = asyncio.create_task(app.start())
    stopped = asyncio.create_task(app.wait_for_stopped(stop))
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting  # one that failed is no crash of the app, and says so here alone
            await stopped
    finally:
        starting.cancel()
        stopped.cancel()
        await asyncio.gather(starting, stopped, return_exceptions=True)
