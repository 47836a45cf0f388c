"""Gathers utterances that come one at a time: those that arrive while a batch is being decided are the next batch.

A model answers many texts in little more time than one. Without this, a crowd of HTTP callers would queue one call
each before the tiers, miss their deadlines, open their breakers, and so take the tiers away from the stream as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from schemas.cloudevents import Received
    from streams.classify import Decider
    from streams.results import Decision
    from streams.spans import RequestSpan, Tracing

MAX_BATCH_UTTERANCES = 64
"""So that a batch of the stream that comes to a tier behind one of these waits for milliseconds."""


class OverloadedError(UnavailableError):
    """More waits to be decided than can be soon; asking again a little later is right."""

    code = "overloaded"


class _Asked(NamedTuple):
    """One who waits."""

    received: Received
    decision: asyncio.Future[Decision]
    span: RequestSpan | None


class Batcher:
    """Decides about single utterances, one batch at a time.

    Args:
        decider: What decides about a batch.
        max_waiting: How many utterances may wait; more are refused at once.
        tracing: Makes spans, if anybody does.
    """

    def __init__(self, decider: Decider, *, max_waiting: int, tracing: Tracing | None = None) -> None:
        self._decider = decider
        self._max_waiting = max_waiting
        self._tracing = tracing
        self._waiting: deque[_Asked] = deque()
        self._deciding: asyncio.Task[None] | None = None

    async def decide(self, received: Received, span: RequestSpan | None = None) -> Decision:
        """Return the decision about one utterance.

        Args:
            received: The utterance.
            span: Of the request that asks, where that is traced.

        Raises:
            OverloadedError: Too many wait already.
        """
        if len(self._waiting) >= self._max_waiting:
            raise OverloadedError("Too many requests wait for an answer already; try again in a moment.")
        decision: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(received, decision, span))
        if self._deciding is None:
            self._deciding = asyncio.create_task(self._decide_all(), name="decide-requests")
        return await decision

    async def _decide_all(self) -> None:
        try:
            while self._waiting:
                size = min(len(self._waiting), MAX_BATCH_UTTERANCES)
                taken = [self._waiting.popleft() for _ in range(size)]
                still_there = [asked for asked in taken if not asked.decision.done()]
                if still_there:
                    await self._decide(still_there)
        finally:
            self._deciding = None

    async def _decide(self, asked: Sequence[_Asked]) -> None:
        """Settle every future, be it with the error that all of them share."""
        try:
            with self._traced(asked):
                decisions = await self._decider.decide([each.received for each in asked])
        except Exception as error:  # noqa: BLE001 - whoever asked gets it, and the middleware counts it
            for each in asked:
                if not each.decision.done():
                    each.decision.set_exception(error)
            return
        for each, decided in zip(asked, decisions, strict=True):
            if not each.decision.done():
                each.decision.set_result(decided)

    def _traced(self, asked: Sequence[_Asked]) -> AbstractContextManager[None]:
        if self._tracing is None:
            return nullcontext()
        return self._tracing.deciding([each.span for each in asked if each.span is not None], len(asked))
