"""What a model server may answer, and what becomes of it: probabilities, or a reason that quotes nobody."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import capture_logs

from infra.embedded.ports import free_port
from models.distilbert import BLEND_FILE, GOLDEN_FILE, LEXICAL_FILE, MODEL_FILE, DistilbertModel, open_session
from models.prediction import TierFailedError, TierTimeoutError, TierUnavailableError
from models.remote.client import ServerClient
from models.remote.oip import OpenInferenceServer
from models.remote.opening import remote_tier
from models.remote.release import ServedRelease, release_digest
from models.remote.tier import RemoteTier
from schemas import settings
from schemas.errors import UnavailableError
from schemas.settings import Settings
from tests.kit.scripted_server import ScriptedServer, in_turn, says
from tests.kit.word_release import complete_release, write_release

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

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
    chosen = Settings(remote=settings.Remote(**told), chain=settings.Chain(tier_deadline_seconds=10))
    tier = remote_tier("distilbert", chosen, LABELS, installed=installed)
    assert tier
    try:
        yield tier
    finally:
        await tier.close()


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


async def cut_short(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport
    request.transport.close()
    return response


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
        remote = settings.Remote(kind="oip", url=server.url)
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
        assert PLANTED not in repr(settings.Remote(kind="oip", url=server.url, token=SecretStr(PLANTED)))
    assert server.headers["Authorization"] == f"Bearer {PLANTED}"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release of ours, whose lexical classifier and golden logits lie beside the network."""
    folder = tmp_path / "release"
    folder.mkdir()
    write_release(folder, TOLD)
    complete_release(folder)
    return folder


async def infer_by_release(request: web.Request, release: Path, shift: int = 0) -> web.Response:
    [texts] = (await request.json())["inputs"]
    rows = open_session(release, threads=1).run(texts["data"])
    return web.json_response(infers(np.roll(rows, shift, axis=1).tolist()))


def telling(release: str | None) -> dict[str, Any]:
    return METADATA | {"outputs": [LOGITS_OUT | {"parameters": {"labels": TOLD, "release": release}}]}


async def test_a_server_of_the_release_that_lies_here_answers_as_this_process_would(release: Path) -> None:
    texts = ["hello", "refund refund", "riddle", "nothing of this"]
    metadata = telling(release_digest(release / MODEL_FILE))
    async with (
        oip_server(metadata, partial(infer_by_release, release=release)) as server,
        tier_of(server.url, release) as tier,
    ):
        rows = await tier.classify(texts)
    np.testing.assert_allclose(rows, DistilbertModel(release, LABELS, threads=1).predict(texts), atol=1e-6)


@pytest.mark.parametrize("told", [None, "0123456789ab"])
async def test_of_another_release_the_network_is_heard_alone(release: Path, told: str | None) -> None:
    async with (
        oip_server(telling(told), partial(infer_by_release, release=release)) as server,
        tier_of(server.url, release) as tier,
    ):
        [row] = await tier.classify(["nothing of this"])
    np.testing.assert_allclose(row, 1 / 3, atol=0.01)


async def test_a_server_whose_answers_are_not_its_releases_is_refused(release: Path) -> None:
    metadata = telling(release_digest(release / MODEL_FILE))
    async with (
        oip_server(metadata, partial(infer_by_release, release=release, shift=1)) as server,
        tier_of(server.url, release) as tier,
    ):
        with pytest.raises(TierUnavailableError, match="not those of its release on this machine"):
            await tier.classify(["hello"])


async def test_a_release_is_put_to_the_test_once(release: Path) -> None:
    metadata = telling(release_digest(release / MODEL_FILE))
    async with (
        oip_server(metadata, partial(infer_by_release, release=release)) as server,
        tier_of(server.url, release) as tier,
    ):
        for _ in range(3):
            await tier.probe()
        assert server.asked(INFER) == 1
        write_release(release, TOLD)
        complete_release(release)
        await tier.probe()
        assert server.asked(INFER) == 2


@pytest.mark.parametrize("file", [BLEND_FILE, LEXICAL_FILE, GOLDEN_FILE])
async def test_a_release_here_that_is_damaged_is_a_reason(release: Path, file: str) -> None:
    (release / file).write_bytes(b"no such thing")
    async with (
        oip_server(telling(release_digest(release / MODEL_FILE))) as server,
        tier_of(server.url, release) as tier,
    ):
        with pytest.raises(TierUnavailableError, match="INTENTSTREAM_REMOTE__RELEASE is damaged"):
            await tier.probe()


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
