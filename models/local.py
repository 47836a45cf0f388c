"""Runs a model of this process off the event loop, one call at a time, and survives one that hangs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from models.prediction import TierBusyError, TierUnavailableError
from models.threads import DaemonThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.prediction import Model, Probabilities


class LocalTier:
    """A tier with a thread of its own. Its model may join later and be swapped between calls."""

    def __init__(
        self,
        name: str,
        model: Model | None = None,
        *,
        hung_after_seconds: float,
        missing: str = "its model is not loaded yet",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the thread.

        Args:
            name: What results and metrics call the tier.
            model: What answers, if it is there already.
            hung_after_seconds: A call that runs this long is not queued behind.
            missing: Why there is no model, for a person.
            clock: Monotonic seconds.
        """
        self._name = name
        self._model = model
        self._missing = missing
        self._hung_after_seconds = hung_after_seconds
        self._clock = clock
        self._running_since: float | None = None
        self._thread = DaemonThread(f"tier-{name}")

    @property
    def name(self) -> str:
        """What results and metrics call it."""
        return self._name

    @property
    def model(self) -> Model | None:
        """What is asked, if it is there."""
        return self._model

    @property
    def ready(self) -> bool:
        """Whether there is a model to ask."""
        return self._model is not None

    @property
    def missing(self) -> str | None:
        """Why there is no model to ask, for a person; None where there is one."""
        return self._missing if self._model is None else None

    def serve(self, model: Model) -> None:
        """Answer the next calls with this model."""
        self._model = model

    def unload(self, reason: str) -> None:
        """Answer nothing from here on, and say why."""
        self._model, self._missing = None, reason

    def close(self) -> None:
        """End the thread once the calls before have returned."""
        self._thread.shutdown()

    async def classify(self, texts: Sequence[str]) -> Probabilities:
        """Return one row a normalised text.

        Raises:
            TierUnavailableError: There is no model.
            TierBusyError: A call hangs.
        """
        if self._model is None:
            raise TierUnavailableError(self._missing)
        since = self._running_since
        if since is not None and self._clock() - since >= self._hung_after_seconds:
            raise TierBusyError("a call past its deadline has not returned")
        return await asyncio.wrap_future(self._thread.submit(self._predict, self._model, texts))

    def _predict(self, model: Model, texts: Sequence[str]) -> Probabilities:
        self._running_since = self._clock()
        try:
            return model.predict(texts)
        finally:
            self._running_since = None
