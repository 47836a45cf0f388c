"""A model that a server offers is looked at before it is asked: it fits the catalogue, or there is a reason."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from models.prediction import TierFailedError, TierUnavailableError
from models.remote.client import ServerClient
from models.remote.oip import OpenInferenceServer
from models.remote.release import ServedRelease
from models.remote.tier import RemoteTier
from schemas.errors import UnavailableError
from schemas.server_settings import Remote
from tests.kit.open_inference import (
    IDS_IN,
    INFER,
    LABELS,
    LOGITS_OUT,
    METADATA,
    MODEL,
    TEXTS_IN,
    TOLD,
    infer,
    infers,
    oip_server,
    tier_of,
)
from tests.kit.scripted_server import ScriptedServer, in_turn, says

if TYPE_CHECKING:
    from pathlib import Path


UNFIT = [
    pytest.param({"inputs": [TEXTS_IN, TEXTS_IN]}, "neither token ids nor texts", id="two texts"),
    pytest.param({"inputs": [TEXTS_IN | {"shape": [-1, 3]}]}, "neither token ids nor texts", id="three texts a text"),
    pytest.param({"inputs": [*IDS_IN, IDS_IN[0] | {"name": "pixels"}]}, "neither token ids nor texts", id="pixels"),
    pytest.param({"inputs": [IDS_IN[0] | {"datatype": "FP32"}]}, "neither token ids nor texts", id="ids in FP32"),
    pytest.param({"inputs": IDS_IN}, "no tokenizer.json", id="token ids, and no tokenizer here"),
    pytest.param({"outputs": []}, "no output of logits", id="no output"),
    pytest.param(
        {"outputs": [LOGITS_OUT | {"name": name} for name in "ab"]}, "no output of logits", id="which output?"
    ),
    pytest.param({"outputs": [LOGITS_OUT | {"datatype": "BYTES"}]}, "no output of logits", id="words for an output"),
    pytest.param({"outputs": [LOGITS_OUT | {"shape": [-1, 7]}]}, "7 logits for 3 labels", id="more logits than labels"),
    pytest.param({"outputs": [LOGITS_OUT | {"parameters": None}]}, "no labels.json", id="no labels"),
    pytest.param(
        {"outputs": [LOGITS_OUT | {"parameters": {"labels": "refund"}}]}, "cannot be read", id="labels are none"
    ),
    pytest.param(
        {"outputs": [LOGITS_OUT | {"parameters": {"labels": TOLD, "temperature": 0}}]}, "cannot be read", id="no heat"
    ),
    pytest.param(
        {"outputs": [LOGITS_OUT | {"parameters": {"labels": ["refund", None, "cancel"]}}]},
        "trained for another catalogue",
        id="another catalogue's labels",
    ),
    pytest.param(
        {"outputs": [LOGITS_OUT | {"parameters": {"labels": ["refund", "refund", "greeting"]}}]},
        "trained for another catalogue",
        id="a label twice",
    ),
]


@pytest.mark.parametrize(("served", "reason"), UNFIT)
async def test_a_model_that_does_not_fit_is_refused_with_a_reason_and_asked_nothing(
    tmp_path: Path, served: dict[str, Any], reason: str
) -> None:
    async with oip_server(METADATA | served) as server, tier_of(server.url, tmp_path) as tier:
        for _ in range(3):
            with pytest.raises(TierUnavailableError, match=reason):
                await tier.classify(["a refund"])
        assert (server.asked(MODEL), server.asked(INFER)) == (1, 0)
        with pytest.raises(UnavailableError, match=reason):
            await tier.probe()


async def test_a_server_that_was_refused_is_asked_again_after_a_while(tmp_path: Path) -> None:
    now = [0.0]
    wrong = METADATA | {"outputs": [LOGITS_OUT | {"parameters": {"labels": ["cancel"]}, "shape": [-1, -1]}]}
    async with oip_server() as server:
        server.scripts[MODEL] = in_turn(says(wrong), says(METADATA))
        remote = Remote(kind="oip", url=server.url)
        release = ServedRelease(tmp_path, LABELS)
        oip = OpenInferenceServer(ServerClient(remote, seconds=10), release, model="distilbert", version=None)
        tier = RemoteTier(
            "distilbert",
            oip,
            release,
            source="x",
            max_batch=8,
            connections=1,
            recheck_seconds=5.0,
            clock=lambda: now[0],
        )
        for now[0] in (0.0, 4.9):
            with pytest.raises(TierUnavailableError):
                await tier.classify(["a refund"])
        now[0] = 5.0
        assert (await tier.classify(["a refund"])).argmax() == 1
        await tier.close()


async def test_callers_who_come_at_once_have_the_server_described_once(tmp_path: Path) -> None:
    async with oip_server() as server, tier_of(server.url, tmp_path) as tier:
        await asyncio.gather(*(tier.classify(["a refund"]) for _ in range(5)))
        assert (server.asked(MODEL), server.asked(INFER)) == (1, 5)


async def test_another_version_of_the_model_is_looked_at_before_it_is_trusted(tmp_path: Path) -> None:
    answers = [says(infers([[5, 0, 0]]) | {"model_version": version}) for version in "122"]
    async with oip_server(infers=in_turn(*answers)) as server, tier_of(server.url, tmp_path) as tier:
        await tier.classify(["a refund"])
        with pytest.raises(TierFailedError, match="another version"):
            await tier.classify(["a refund"])
        await tier.classify(["a refund"])
        assert server.asked(MODEL) == 2


async def test_a_version_may_be_chosen(tmp_path: Path) -> None:
    async with ScriptedServer() as server, tier_of(server.url, tmp_path, version="3") as tier:
        server.scripts = {
            "/v2/health/live": says(b""),
            f"{MODEL}/versions/3/ready": says(b""),
            f"{MODEL}/versions/3": says(METADATA),
            f"{MODEL}/versions/3/infer": infer,
        }
        await tier.classify(["a refund"])
        assert await tier.probe() == "3"
