"""A model in this process works on a thread: it may hang, join and leave, and the event loop goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.answer import NO_TIER
from models.local import LocalTier
from schemas.events import Outcome
from tests.kit.scripted_tiers import REFUND, ask, chain_of, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from models.prediction import Probabilities


class Gate:
    """A model that answers once it is let."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def predict(self, texts: Sequence[str]) -> Probabilities:
        self.entered.set()
        self.opened.wait(30)
        return np.array([REFUND] * len(texts), np.float32)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


async def test_a_hung_model_is_busy_at_once_until_its_call_returns(gate: Gate) -> None:
    now = [0.0]
    tier = LocalTier("local", gate, hung_after_seconds=1.0, clock=lambda: now[0])
    chain = chain_of(tier, tier_deadline_seconds=0.05, breaker_failures=100)
    [answer] = await ask(chain, "local")
    assert outcomes(answer) == [("local", Outcome.TIMEOUT)]

    now[0] = 1.0
    [answer] = await ask(chain, "local")
    assert outcomes(answer) == [("local", Outcome.UNAVAILABLE)]
    assert "has not returned" in (answer.tried[0].reason or "")

    gate.opened.set()
    while answer.tier != "local":
        [answer] = await ask(chain, "local")
    tier.close()


async def test_the_event_loop_goes_on_while_a_model_works(gate: Gate) -> None:
    tier = LocalTier("local", gate, hung_after_seconds=60)
    asked = asyncio.create_task(ask(chain_of(tier, tier_deadline_seconds=30), "local"))
    assert await asyncio.to_thread(gate.entered.wait, 30)
    assert not asked.done()
    gate.opened.set()
    assert [answer.tier for answer in await asked] == ["local"]
    tier.close()


async def test_a_model_may_join_later_and_leave() -> None:
    tier = LocalTier("local", hung_after_seconds=60)
    chain = chain_of(tier)
    [before] = await ask(chain, "local")
    gate = Gate()
    gate.opened.set()
    tier.serve(gate)
    [during] = await ask(chain, "local")
    tier.unload("it was withdrawn")
    [after] = await ask(chain, "local")
    tier.close()
    assert [before.tier, during.tier, after.tier] == [NO_TIER, "local", NO_TIER]
    assert after.tried[0].reason == "it was withdrawn"
