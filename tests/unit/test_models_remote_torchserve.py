"""What TorchServe answers with our handler, and what becomes of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from models.prediction import TierFailedError
from tests.kit.open_inference import PLANTED, TOLD, logits_of, tier_of
from tests.kit.scripted_server import ScriptedServer, in_turn, says

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.kit.scripted_server import Answering

TORCHSERVE = "/predictions/distilbert"


def handler(release: str, rows: Callable[[list[str]], object]) -> Answering:
    async def answer(request: web.Request) -> web.Response:
        texts = (await request.json())["texts"]
        return web.json_response(
            {"release": release, "logits": rows(texts)} if texts else {"release": release, "labels": TOLD}
        )

    return answer


@asynccontextmanager
async def torchserve(answer: Answering) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        server.scripts = {"/ping": says({"status": "Healthy"}), TORCHSERVE: answer}
        yield server


def right(texts: list[str]) -> list[list[float]]:
    return [logits_of(text) for text in texts]


async def test_torchserve_answers(tmp_path: Path) -> None:
    async with torchserve(handler("a", right)) as server, tier_of(server.url, tmp_path, kind="torchserve") as tier:
        assert (await tier.classify(["a greeting", "a refund"])).argmax(axis=1).tolist() == [0, 1]
        assert await tier.probe() == "a"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (lambda _: [[0.0, 0.0]], r"not of shape \(1, 3\)"),
        (lambda _: [[0.0, 0.0, 0.0]] * 2, r"not of shape \(1, 3\)"),
        (lambda _: [[0.0, 0.0, None]], "not of the handler"),
        (lambda _: PLANTED, "not of the handler"),
    ],
)
async def test_what_torchserve_answers_is_checked(
    tmp_path: Path, rows: Callable[[list[str]], object], reason: str
) -> None:
    async with torchserve(handler("a", rows)) as server, tier_of(server.url, tmp_path, kind="torchserve") as tier:
        with pytest.raises(TierFailedError, match=reason):
            await tier.classify(["a refund"])


async def test_another_release_in_torchserve_is_looked_at_before_it_is_trusted(tmp_path: Path) -> None:
    async with (
        torchserve(in_turn(handler("a", right), handler("b", right))) as server,
        tier_of(server.url, tmp_path, kind="torchserve") as tier,
    ):
        with pytest.raises(TierFailedError, match="another release"):
            await tier.classify(["a refund"])
        assert (await tier.classify(["a refund"])).argmax() == 1


async def test_a_torchserve_that_is_not_well_is_asked_nothing(tmp_path: Path) -> None:
    async with torchserve(handler("a", right)) as server, tier_of(server.url, tmp_path, kind="torchserve") as tier:
        server.scripts["/ping"] = says({"status": "Unhealthy"}, status=500)
        with pytest.raises(TierFailedError, match="answers 500 to /ping"):
            await tier.classify(["a refund"])
        assert server.asked(TORCHSERVE) == 0
