"""What a model server may answer, and what becomes of it: probabilities, or a reason that quotes nobody."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from models.prediction import TierFailedError
from models.remote.opening import remote_tier
from schemas.settings import Settings
from tests.kit.open_inference import (
    IDS_IN,
    INFER,
    LABELS,
    LOGITS_OUT,
    METADATA,
    PLANTED,
    TEXTS_IN,
    TOLD,
    infer,
    infers,
    oip_server,
    tier_of,
)
from tests.kit.scripted_server import cut_short, in_turn, says
from tests.kit.word_release import write_release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.scripted_server import Answering


async def test_where_no_server_is_named_there_is_no_such_tier(tmp_path: Path) -> None:
    assert remote_tier("distilbert", Settings(), LABELS, installed=tmp_path) is None


async def test_the_servers_labels_become_the_catalogues_columns(tmp_path: Path) -> None:
    async with oip_server() as server, tier_of(server.url, tmp_path) as tier:
        rows = await tier.classify(["a greeting", "a refund", "None of these"])
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    assert rows.argmax(axis=1).tolist() == [0, 1, 2]


async def test_its_temperature_is_applied(tmp_path: Path) -> None:
    output = LOGITS_OUT | {"parameters": {"labels": TOLD, "temperature": 5.0}}
    async with oip_server(METADATA | {"outputs": [output]}) as server, tier_of(server.url, tmp_path) as tier:
        [row] = await tier.classify(["a refund"])
    assert row[1] == pytest.approx(np.e / (np.e + 2), abs=1e-5)


async def test_texts_are_asked_in_parts_and_answered_in_their_order(tmp_path: Path) -> None:
    at_once = most = 0

    async def count(request: web.Request) -> web.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return await infer(request)

    texts = [f"{'a ' * (number % 5)}{('greeting', 'refund', 'None')[number % 3]}" for number in range(50)]
    async with (
        oip_server(infers=count) as server,
        tier_of(server.url, tmp_path, max_batch=8, connections=2) as tier,
    ):
        rows = await tier.classify(texts)
        sizes = [len(body["inputs"][0]["data"]) for path, body in server.requests if path == INFER]
    assert rows.argmax(axis=1).tolist() == [number % 3 for number in range(50)]
    assert sorted(sizes) == [2, 8, 8, 8, 8, 8, 8]
    assert most == 2


async def test_a_model_that_takes_token_ids_is_given_those_of_its_tokenizer(tmp_path: Path) -> None:
    write_release(tmp_path, TOLD)
    segments = IDS_IN[0] | {"name": "token_type_ids", "datatype": "INT32"}
    metadata = METADATA | {"inputs": [*IDS_IN, segments]}
    async with (
        oip_server(metadata, says(infers([[0, 0, 0]] * 2))) as server,
        tier_of(server.url, tmp_path) as tier,
    ):
        await tier.classify(["hello", "hello refund"])
        [sent] = [body for path, body in server.requests if path == INFER]
    assert {each["name"]: (each["datatype"], each["shape"], each["data"]) for each in sent["inputs"]} == {
        "input_ids": ("INT64", [2, 2], [1, 0, 1, 2]),
        "attention_mask": ("INT64", [2, 2], [1, 0, 1, 1]),
        "token_type_ids": ("INT32", [2, 2], [0, 0, 0, 0]),
    }
    assert sent["outputs"] == [{"name": "logits"}]


async def test_texts_take_the_shape_that_the_metadata_says(tmp_path: Path) -> None:
    metadata = METADATA | {"inputs": [TEXTS_IN | {"shape": [-1, 1]}]}
    async with oip_server(metadata) as server, tier_of(server.url, tmp_path) as tier:
        await tier.classify(["a", "b"])
        [sent] = [body for path, body in server.requests if path == INFER]
    assert sent["inputs"][0]["shape"] == [2, 1]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(infers([], shape=[1, 3], data=[[5.0, 0.0, 0.0]]), id="a list a row"),
        pytest.param(infers([[5, 0, 0]], shape=["1", "3"]), id="whole numbers as strings"),
        pytest.param(
            {"outputs": [{"name": "other", "shape": [0], "data": ["x"]}, *infers([[5, 0, 0]])["outputs"]]}, id="more"
        ),
    ],
)
async def test_what_the_protocol_leaves_open_is_understood(tmp_path: Path, answer: object) -> None:
    async with oip_server(infers=says(answer)) as server, tier_of(server.url, tmp_path) as tier:
        assert (await tier.classify(["a refund"])).argmax() == 1


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with_blanks = b" " * 65_536
    try:
        while True:
            await response.write(with_blanks)
    except ConnectionError:
        return response


BAD_ANSWERS = [
    pytest.param(says(infers([[0, 0, 0]] * 2)), "not of shape (1, 3)", id="too many rows"),
    pytest.param(says(infers([[0, 0]], shape=[1, 2])), "not of shape (1, 3)", id="too few classes"),
    pytest.param(says(infers([[0, 0]])), "not of shape (1, 3)", id="fewer numbers than it says"),
    pytest.param(
        says(infers([[0, 0, float("nan")]])), "not of the Open Inference Protocol", id="NaN, which is no JSON"
    ),
    pytest.param(says(infers([[0, 0, None]])), "holds what is no number", id="null"),
    pytest.param(says(infers([[0, 0, PLANTED]])), "holds what is no number", id="a word"),
    pytest.param(
        says(b'{"outputs": [{"name": "logits", "shape": [1, 3], "data": [0, 0, 1e999]}]}'),
        "holds what is no number",
        id="infinity",
    ),
    pytest.param(says(infers([[0, 0, 1e39]])), "holds what is no number", id="beyond fp32"),
    pytest.param(says({"outputs": []}), "has no logits", id="no output"),
    pytest.param(says(b"<html>" + PLANTED.encode()), "not of the Open Inference Protocol", id="no JSON"),
    pytest.param(says(b"\xff\xfe"), "not of the Open Inference Protocol", id="no UTF-8"),
    pytest.param(says(b""), "not of the Open Inference Protocol", id="nothing"),
    pytest.param(says({"error": PLANTED}, status=400), "answers 400 to /v2/models/distilbert/infer", id="400"),
    pytest.param(says({"error": PLANTED}, status=500), "answers 500 to /v2/models/distilbert/infer", id="500"),
    pytest.param(says({"error": PLANTED}, status=503), "answers 503 to /v2/models/distilbert/infer", id="503"),
    pytest.param(says(b"", status=302, headers={"Location": "/v2/health/live"}), "answers 302", id="a redirect"),
    pytest.param(cut_short, "connection to its server was lost", id="cut short"),
    pytest.param(endless, "answers more than 65,728 bytes", id="endless"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_ANSWERS)
async def test_an_answer_that_is_none_becomes_a_reason_and_the_next_may_be_one(
    tmp_path: Path, bad: Answering, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as logged:
        async with oip_server(infers=in_turn(bad, infer)) as server, tier_of(server.url, tmp_path) as tier:
            with pytest.raises(TierFailedError) as failed:
                await tier.classify([f"a refund for my {PLANTED}"])
            assert not tier.ready
            rows = await tier.classify([f"a refund for my {PLANTED}"])
    assert reason in str(failed.value)
    assert rows.argmax() == 1
    assert PLANTED not in str(failed.value)
    assert PLANTED not in json.dumps(logged)
    assert PLANTED not in caplog.text
