"""A server of the Open Inference Protocol that answers as it is told, and the tier that asks it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from models.remote.opening import remote_tier
from schemas import settings
from schemas.server_settings import Remote
from schemas.settings import Settings
from tests.kit.scripted_server import ScriptedServer, says

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from models.remote.tier import RemoteTier
    from tests.kit.scripted_server import Answering

LABELS = ("greeting", "refund")
TOLD = ["refund", None, "greeting"]
MODEL = "/v2/models/distilbert"
INFER = f"{MODEL}/infer"
TEXTS_IN = {"name": "texts", "datatype": "BYTES", "shape": [-1]}
IDS_IN = [{"name": name, "datatype": "INT64", "shape": [-1, -1]} for name in ("input_ids", "attention_mask")]
LOGITS_OUT = {"name": "logits", "datatype": "FP32", "shape": [-1, 3], "parameters": {"labels": TOLD}}
METADATA = {"name": "distilbert", "platform": "x", "inputs": [TEXTS_IN], "outputs": [LOGITS_OUT]}
PLANTED = "zebra"


def logits_of(text: str) -> list[float]:
    """A logit of 5 for the label that a text names."""
    return [5.0 * (str(label) in text) for label in TOLD]


async def infer(request: web.Request) -> web.Response:
    [texts] = (await request.json())["inputs"]
    rows = [logits_of(text) for text in texts["data"]]
    return web.json_response(infers(rows))


def infers(rows: Sequence[Sequence[Any]], **more: Any) -> dict[str, Any]:
    flat = [number for row in rows for number in row]
    return {"outputs": [{"name": "logits", "datatype": "FP32", "shape": [len(rows), 3], "data": flat} | more]}


@asynccontextmanager
async def oip_server(metadata: object = None, infers: Answering = infer) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        server.scripts = {
            "/v2/health/live": says(b""),
            f"{MODEL}/ready": says(b""),
            MODEL: says(metadata or METADATA),
            INFER: infers,
        }
        yield server


@asynccontextmanager
async def tier_of(url: str, installed: Path, kind: str = "oip", **remote: Any) -> AsyncIterator[RemoteTier]:
    told = {"kind": kind, "url": url, "timeout_seconds": 10, "retries": 0} | remote
    chosen = Settings(remote=Remote(**told), chain=settings.Chain(tier_deadline_seconds=10))
    tier = remote_tier("distilbert", chosen, LABELS, installed=installed)
    assert tier
    try:
        yield tier
    finally:
        await tier.close()
