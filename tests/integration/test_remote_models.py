"""A model behind a server answers as it would in this process; the server may die, hang and come back."""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from infra.embedded.ports import free_port
from infra.embedded.server import EmbeddedServer
from models.breaker import BreakerState
from models.chain import Chain
from models.distilbert import LABELS_FILE, TOKENIZER_FILE, DistilbertModel
from models.prediction import TierFailedError, TierUnavailableError
from models.remote.opening import remote_tier
from schemas import settings
from schemas.events import Outcome
from schemas.server_settings import Remote
from schemas.settings import Settings
from tests.kit.model_servers import SILENT, TEXTS, TOKENS, VERSION, MLServerProgram, TorchServeProgram
from tests.kit.word_release import complete_release, write_release

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from models.answer import Answer
    from models.prediction import Probabilities
    from models.remote.tier import RemoteTier

LABELS = ("greeting", "refund")
DEADLINE_SECONDS = OPEN_SECONDS = 1.0
BACK_SECONDS = 60.0


class Served(NamedTuple):
    """A model of a running server."""

    server: EmbeddedServer
    kind: str
    model: str


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    write_release(folder, ["refund", None, "greeting"])
    complete_release(folder)
    return folder


def _running(program: MLServerProgram | TorchServeProgram, folder: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(program, folder=folder, port=free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def mlserver(
    mlserver_program: Path, release: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    program = MLServerProgram(program=mlserver_program, release=release)
    yield from _running(program, tmp_path_factory.mktemp("mlserver"))


@pytest.fixture(scope="module")
def torchserve(
    torchserve_program: Path, release: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    program = TorchServeProgram(program=torchserve_program, release=release)
    yield from _running(program, tmp_path_factory.mktemp("torchserve"))


@pytest.fixture(params=[TOKENS, TEXTS, "torchserve"])
def served(request: pytest.FixtureRequest) -> Served:
    """Each model of each server."""
    if request.param == "torchserve":
        return Served(request.getfixturevalue("torchserve"), "torchserve", "distilbert")
    return Served(request.getfixturevalue("mlserver"), "oip", request.param)


@asynccontextmanager
async def tier_of(
    served: Served, release: Path, labels: Sequence[str] = LABELS, **remote: object
) -> AsyncIterator[RemoteTier]:
    """The tier that asks a server; a test's machine may be slow, so its deadline is far off."""
    told = {"kind": served.kind, "url": served.server.endpoint, "model": served.model, "timeout_seconds": 30} | remote
    chosen = Settings(remote=Remote(**told), chain=settings.Chain(tier_deadline_seconds=30))
    tier = remote_tier("distilbert", chosen, labels, installed=release)
    assert tier
    try:
        yield tier
    finally:
        await tier.close()


async def test_a_server_gives_the_answers_of_the_model_in_this_process(served: Served, release: Path) -> None:
    texts = [f"{'hello ' * (number % 7)}refund riddle {number} ¿qué?" for number in range(150)]
    expected = DistilbertModel(release, LABELS, threads=1).predict(texts)
    async with tier_of(served, release, max_batch=16, connections=3) as tier:
        np.testing.assert_allclose(await tier.classify(texts), expected, atol=1e-6)


async def test_who_asks_how_the_server_is_is_told_the_version(served: Served, release: Path) -> None:
    async with tier_of(served, release) as tier:
        assert not tier.ready
        version = await tier.probe()
        assert tier.ready
    assert re.fullmatch(VERSION if served.kind == "oip" else "[0-9a-f]{12}", version or "")


async def test_a_model_of_another_catalogue_is_refused(served: Served, release: Path) -> None:
    async with tier_of(served, release, labels=("greeting", "cancel")) as tier:
        with pytest.raises(TierUnavailableError, match="another catalogue"):
            await tier.classify(["hello"])
        assert tier.missing == "its release was trained for another catalogue"


async def test_a_model_that_the_server_does_not_have_is_named(served: Served, release: Path) -> None:
    async with tier_of(served, release, model="nobody") as tier:
        with pytest.raises(TierFailedError, match=r"404 to .*nobody"):
            await tier.classify(["hello"])


class Rules:
    """A tier that is always there."""

    name = "rules"

    async def classify(self, texts: Sequence[str]) -> Probabilities:
        return np.array([(0.1, 0.8, 0.1)] * len(texts), np.float32)


@asynccontextmanager
async def chain_of(served: Served, release: Path, *, deadline_seconds: float = 30.0) -> AsyncIterator[Chain]:
    async with tier_of(served, release) as tier:
        await tier.classify(["hello"])
        limits = settings.Chain(
            tier_deadline_seconds=deadline_seconds, breaker_failures=2, breaker_open_seconds=OPEN_SECONDS
        )
        yield Chain([tier, Rules()], LABELS, limits)


async def answered(chain: Chain) -> Answer:
    [answer] = await chain.classify(["refund"], ["distilbert", "rules"])
    return answer


async def open_breaker(chain: Chain) -> set[Outcome]:
    """Ask until the server is left alone; every answer on the way comes from the rules. Return how it was left."""
    left = set()
    while chain.breakers["distilbert"] is not BreakerState.OPEN:
        answer = await answered(chain)
        assert (answer.tier, answer.intent, answer.degraded) == ("rules", "refund", True)
        left.add(answer.tried[0].outcome)
    assert (await answered(chain)).tried[0].outcome is Outcome.OPEN
    return left


async def until_it_is_back(chain: Chain) -> None:
    async with asyncio.timeout(BACK_SECONDS):
        answer = await answered(chain)
        while answer.tier != "distilbert":
            await asyncio.sleep(0.02)
            answer = await answered(chain)
    assert chain.breakers["distilbert"] is BreakerState.CLOSED


async def test_a_server_that_dies_is_left_alone_and_asked_again_when_it_is_back(served: Served, release: Path) -> None:
    async with chain_of(served, release) as chain:
        assert (await answered(chain)).tier == "distilbert"
        served.server.kill()
        try:
            left = await open_breaker(chain)
        finally:
            await asyncio.to_thread(served.server.start)
        assert left == {Outcome.FAILED}
        await until_it_is_back(chain)


async def test_a_server_that_hangs_is_left_at_the_deadline(served: Served, release: Path) -> None:
    async with chain_of(served, release, deadline_seconds=DEADLINE_SECONDS) as chain:
        served.server.suspend()
        try:
            started = asyncio.get_running_loop().time()
            assert await open_breaker(chain) == {Outcome.TIMEOUT}
            assert asyncio.get_running_loop().time() - started < 2 * DEADLINE_SECONDS + 1
        finally:
            served.server.resume()
        await until_it_is_back(chain)


@pytest.mark.parametrize("model", [TEXTS, TOKENS])
async def test_what_a_server_does_not_tell_is_read_from_its_release_on_this_machine(
    mlserver: EmbeddedServer, release: Path, model: str
) -> None:
    async with tier_of(Served(mlserver, "oip", SILENT + model), release) as tier:
        assert (await tier.classify(["hello"])).argmax() == 1


@pytest.mark.parametrize(
    ("model", "needed"), [(SILENT + TEXTS, LABELS_FILE), (SILENT + TOKENS, LABELS_FILE), (TOKENS, TOKENIZER_FILE)]
)
async def test_without_what_it_needs_of_the_release_the_tier_says_so(
    mlserver: EmbeddedServer, release: Path, tmp_path: Path, model: str, needed: str
) -> None:
    lacking = tmp_path / "release"
    shutil.copytree(release, lacking)
    (lacking / needed).unlink()
    async with tier_of(Served(mlserver, "oip", model), lacking) as tier:
        with pytest.raises(TierUnavailableError, match=f"INTENTSTREAM_REMOTE__RELEASE has no {needed}"):
            await tier.classify(["hello"])
