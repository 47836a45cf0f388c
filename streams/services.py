"""What of a worker must start and stop with it and is no service by itself, as services."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from mode import Service

from models.breaker import BreakerState
from streams.garbage import keep_for_good

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from health.checks import DependencyChecks
    from health.metrics import Metrics
    from models.serving import Serving
    from streams.rollouts import RolloutRunner
    from streams.side_loop import SideLoop


_log = structlog.get_logger(__name__)


class Checks(Service):
    """Asks the dependencies in the background."""

    def __init__(self, checks: DependencyChecks, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._checks = checks
        self._running: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        """Begin to ask."""
        self._running = asyncio.create_task(self._checks.run(), name="dependency-checks")

    async def on_stop(self) -> None:
        """Stop asking."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)


class Codec(Service):
    """The thread on which batches are decoded and encoded."""

    def __init__(self, executor: Executor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._executor = executor

    async def on_stop(self) -> None:
        """End the thread."""
        self._executor.shutdown(wait=False)


class Rollouts(Service):
    """The candidacy for running the rollouts, on a thread of its own."""

    def __init__(self, runner: RolloutRunner, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._runner = runner

    async def on_start(self) -> None:
        """Become a candidate."""
        self._runner.start()

    async def on_stop(self) -> None:
        """Let another take over at once."""
        await asyncio.to_thread(self._runner.stop)


class Side(Service):
    """The loop on which is decided: it runs from its making, and ends after all that runs on it.

    Args:
        loop: It.
    """

    def __init__(self, loop: SideLoop, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._side = loop

    async def on_stop(self) -> None:
        """End the loop."""
        self._side.stop()


class Models(Service):
    """The classifier: started once its rules can answer; its other tiers join later.

    Args:
        serving: What answers.
        loop: Where it lives.
        metrics: Which show it.

    Attributes:
        settled: Whether every tier was loaded, or turned out not to be there, and put to the test.
    """

    def __init__(self, serving: Serving, loop: SideLoop, metrics: Metrics, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._serving = serving
        self._side = loop
        self._metrics = metrics
        self._settling: asyncio.Task[None] | None = None
        self.settled = False

    async def on_start(self) -> None:
        """Load the rules."""
        first = self._serving.current
        await self._side.run(first.start())
        self._metrics.release.info({"release": first.release})
        for name in first.tiers:
            self._metrics.model_health.labels(name).set_function(partial(_is_healthy, self._serving, name))
        for name in first.breakers:
            self._metrics.watch_breaker(name, partial(_breaker, self._serving, name))
        self._settling = asyncio.create_task(self._settle(), name="settle-models")

    async def on_stop(self) -> None:
        """End the tiers' threads."""
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.gather(self._settling, return_exceptions=True)
        await self._side.run(self._serving.close())

    async def _settle(self) -> None:
        # Where another release takes over meanwhile, this one's loading is cancelled, and that one is loaded.
        await asyncio.gather(self._side.run(self._serving.current.loaded()), return_exceptions=True)
        for tier, fault in (await self._side.run(self._serving.current.faults())).items():
            _log.warning("tier_fails_its_test", tier=tier, fault=fault)
        self.settled = True
        keep_for_good()


def _breaker(serving: Serving, name: str) -> str:
    """Return the state of a tier's breaker, or of `redis`'s."""
    return serving.current.breakers[name].value


def _is_healthy(serving: Serving, tier: str) -> float:
    """Return 1 if a tier has a model and its breaker lets calls through."""
    classifier = serving.current
    return float(classifier.tiers[tier].ready and classifier.breakers[tier] is BreakerState.CLOSED)
