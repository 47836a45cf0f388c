"""A request to a model server is sent, sent again or given up; nobody waits for ever, and no token is shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from infra.embedded.ports import free_port
from models.prediction import TierFailedError, TierTimeoutError
from schemas.errors import UnavailableError
from schemas.server_settings import Remote
from tests.kit.open_inference import INFER, MODEL, PLANTED, infer, infers, oip_server, tier_of
from tests.kit.scripted_server import cut_short, in_turn, says

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from tests.kit.scripted_server import Answering


@pytest.mark.parametrize("path", ["/v2/health/live", f"{MODEL}/ready"])
async def test_a_server_that_is_not_ready_is_asked_nothing(tmp_path: Path, path: str) -> None:
    async with oip_server() as server, tier_of(server.url, tmp_path) as tier:
        server.scripts[path] = says(b"", status=400)
        with pytest.raises(TierFailedError, match=f"answers 400 to {path}"):
            await tier.classify(["a refund"])
        with pytest.raises(UnavailableError, match=f"answers 400 to {path}"):
            await tier.probe()
        assert server.asked(INFER) == 0


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_a_request_that_was_refused_is_sent_again(tmp_path: Path, status: int) -> None:
    refused = says(b"", status=status, headers={"Retry-After": "0"})
    async with (
        oip_server(infers=in_turn(refused, cut_short, infer)) as server,
        tier_of(server.url, tmp_path, retries=2) as tier,
    ):
        assert (await tier.classify(["a refund"])).argmax() == 1
        assert server.asked(INFER) == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(says(b"", status=400), TierFailedError, id="400"),
        pytest.param(says(b"", status=500), TierFailedError, id="500"),
        pytest.param(says(infers([])), TierFailedError, id="another shape"),
        pytest.param(
            says(b"", status=429, headers={"Retry-After": "11"}), TierFailedError, id="wait past the deadline"
        ),
    ],
)
async def test_what_would_not_help_or_come_too_late_is_not_sent_again(
    tmp_path: Path, answer: Answering, kind: type[TierFailedError]
) -> None:
    async with oip_server(infers=answer) as server, tier_of(server.url, tmp_path, retries=5) as tier:
        with pytest.raises(kind):
            await tier.classify(["a refund"])
        assert server.asked(INFER) == 1


async def test_a_request_that_takes_too_long_is_given_up_and_not_sent_again(tmp_path: Path) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        oip_server(infers=hang) as server,
        tier_of(server.url, tmp_path, retries=5, timeout_seconds=0.2) as tier,
    ):
        with pytest.raises(TierTimeoutError, match=r"within 0.2 s"):
            await tier.classify(["a refund"])
        assert server.asked(INFER) == 1


async def test_where_nobody_listens_the_reason_says_so(tmp_path: Path) -> None:
    async with tier_of(f"http://127.0.0.1:{free_port()}", tmp_path) as tier:
        with pytest.raises(TierFailedError, match="cannot be reached"):
            await tier.classify(["a refund"])
        assert "cannot be reached" in (tier.missing or "")


async def test_a_token_is_sent_and_shown_nowhere(tmp_path: Path) -> None:
    async with oip_server() as server, tier_of(server.url, tmp_path, token=PLANTED) as tier:
        await tier.classify(["a refund"])
        assert PLANTED not in repr(Remote(kind="oip", url=server.url, token=SecretStr(PLANTED)))
    assert server.headers["Authorization"] == f"Bearer {PLANTED}"
