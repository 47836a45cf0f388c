"""A server that says which release it serves is held to it, if that release lies on this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiohttp import web

from models.distilbert import BLEND_FILE, GOLDEN_FILE, LEXICAL_FILE, MODEL_FILE, DistilbertModel, open_session
from models.prediction import TierUnavailableError
from models.remote.release import release_digest
from tests.kit.open_inference import INFER, LABELS, LOGITS_OUT, METADATA, TOLD, infers, oip_server, tier_of
from tests.kit.word_release import complete_release, write_release

if TYPE_CHECKING:
    from pathlib import Path


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
