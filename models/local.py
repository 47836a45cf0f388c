"""Runs a model of this process off the event loop, one call at a time, and survives one that hangs."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from models.prediction import TierBusyError, TierUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.prediction import Model, Probabilities

_Call = tuple["Future[Probabilities]", "Model", "Sequence[str]"]


class LocalTier:
    """A tier with a thread of its own. Its model may join later and be swapped between calls.

    The thread is a daemon: a ThreadPoolExecutor's would be joined at exit and so a hung call would hang the process.
    """

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
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._hung_after_seconds = hung_after_seconds
        self._clock = clock
        self._running_since: float | None = None
        threading.Thread(target=self._run, name=f"tier-{name}", daemon=True).start()

    @property
    def name(self) -> str:
        """What results and metrics call it."""
        return self._name

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
        self._calls.put(None)

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
        call: Future[Probabilities] = Future()
        self._calls.put((call, self._model, texts))
        return await asyncio.wrap_future(call)

    def _run(self) -> None:
        while (next_call := self._calls.get()) is not None:
            call, model, texts = next_call
            if not call.set_running_or_notify_cancel():
                continue
            self._running_since = self._clock()
            try:
                answer = model.predict(texts)
            except BaseException as error:  # noqa: BLE001 - the future carries it to the caller; the thread must live
                self._running_since = None
                call.set_exception(error)
            else:
                self._running_since = None
                call.set_result(answer)
