"""The console in a real browser, before a real worker: seen, used by keyboard, left alone, and read by axe.

`DRILL_PICTURES=folder` keeps what was seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from models.catalogue import default_catalogue_path
from schemas.tokens import Scope
from tests.kit.browser import axe_faults, running_browser
from tests.kit.command import run_command
from tests.kit.load import Record, Stream, our_texts, publish, utterances
from tests.kit.waiting import let_pass, wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.browser import Browser

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

SECRET = "connie-connie-connie"  # noqa: S105 - opens nothing but this test's worker
PER_SECOND = 20.0
BUSY_PER_SECOND = 500.0
LOOK_SECONDS = 5.0
SETTLED_SECONDS = 3.0
WORDS = "where on earth is the parcel I ordered"

DEAD_LETTERED = "intentstream_events_dead_lettered_total"

BOARD = "!document.getElementById('board').hidden"
HEADLINE = "document.getElementById('headline').textContent"
LINK = "document.getElementById('link').dataset.state"
FLAGS = "document.querySelectorAll('.flag').length"
SWITCH = "document.querySelector('[aria-labelledby=flag-performance_mode]')"


def shares_of_a_core(*groups: list[psutil.Process]) -> list[float]:
    """Return how much of one each group uses."""
    begun, used = time.monotonic(), [cpu_seconds(group) for group in groups]
    let_pass(LOOK_SECONDS)
    seconds = time.monotonic() - begun
    return [(cpu_seconds(group) - before) / seconds for group, before in zip(groups, used, strict=True)]


def percent(shares: list[float]) -> str:
    return " and ".join(f"{share:.1%}" for share in shares)


def cpu_seconds(processes: list[psutil.Process]) -> float:
    seconds = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end meanwhile, as a browser's helpers do
            seconds += sum(process.cpu_times()[:2])
    return seconds


def chromium_processes() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if "chrom" in each.name()]


@pytest.fixture(scope="module")
def worker(
    broker: EmbeddedServer, prepared_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """A worker for all of these, without Redis and Postgres, and with something to do."""
    log_file = tmp_path_factory.mktemp("console") / "worker.log"
    with WorkerProcess(broker.endpoint, state_folder=prepared_models, log_file=log_file) as worker:
        worker.wait_until_ready()
        endless = (record for _ in itertools.count() for record in utterances(len(our_texts())))
        with Stream(broker.endpoint, endless, per_second=PER_SECOND):
            yield worker


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with running_browser(tmp_path / "profile") as browser:
        await browser.look()
        yield browser


@pytest.fixture
async def console(browser: Browser, worker: WorkerProcess) -> Browser:
    """The console of the worker, opened."""
    await browser.open(f"http://127.0.0.1:{worker.port}/")
    await browser.wait_for(f"document.readyState === 'complete' && {BOARD} && {FLAGS}")
    return browser


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures go."""
    folder = Path(os.environ.get("DRILL_PICTURES") or tmp_path / "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def test_it_shows_live_what_a_worker_does(console: Browser, pictures: Path, show: Show) -> None:
    await console.wait_for(rf"/^Answering \d+.* utterances\/s in .+\.$/.test({HEADLINE})")
    await console.wait_for("document.querySelectorAll('#result-rows tr').length > 5")
    concerns = await console.run("document.getElementById('concerns').textContent")
    assert "redis is away" in concerns
    assert "postgres is away" in concerns
    for name, width, dark in (("light", 1280, False), ("dark", 1280, True), ("narrow", 390, False)):
        await console.look(width=width, dark=dark)
        (pictures / f"{name}.png").write_bytes(await console.picture())
        assert await console.run("document.documentElement.scrollWidth") <= width, "nothing is wider than the window"
    assert console.complaints == [], "the page keeps to its own content security policy"
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    sent = "performance.getEntriesByType('resource').filter((each) => !each.name.includes('/api/'))"
    size = f"{sent}.reduce((sum, each) => sum + (each.name.includes('events') ? 0 : each.decodedBodySize), 0)"
    show(f"first paint {await console.run(paint):.0f} ms, {await console.run(size) / 1000:.0f} kB beside the HTML")


async def test_what_it_costs_to_look(
    browser: Browser, worker: WorkerProcess, broker: EmbeddedServer, show: Show
) -> None:
    endless = (record for _ in itertools.count() for record in utterances(len(our_texts())))
    process = psutil.Process(worker.pid)
    with Stream(broker.endpoint, endless, per_second=BUSY_PER_SECOND - PER_SECOND):
        let_pass(LOOK_SECONDS)  # the first of so many are dearer than those that follow
        seen, unseen, looking = [], [], []
        for _ in range(2):
            await browser.open(f"http://127.0.0.1:{worker.port}/")
            await browser.wait_for(f"document.readyState === 'complete' && {BOARD} && {FLAGS}")
            let_pass(SETTLED_SECONDS)
            both = await asyncio.to_thread(shares_of_a_core, [process], chromium_processes())
            seen.append(both[0])
            looking.append(both[1])
            await browser.open("about:blank")
            unseen += await asyncio.to_thread(shares_of_a_core, [process])
    show(
        f"of a core, at {BUSY_PER_SECOND:g}/s: the worker unseen {percent(unseen)}, seen {percent(seen)}; "
        f"Chromium {percent(looking)}"
    )


async def test_a_flag_is_flipped_by_keyboard_and_the_worker_obeys(
    console: Browser, worker: WorkerProcess, pictures: Path
) -> None:
    await console.run(f"{SWITCH}.focus()")
    await console.press(" ")
    await console.wait_for("document.getElementById('dialog').open")
    (pictures / "dialog.png").write_bytes(await console.picture(whole=False))
    await console.type("a drill")
    await console.press("Tab")
    await console.type("dora")
    await console.press("Enter")
    await console.wait_for(f"{SWITCH}.getAttribute('aria-checked') === 'true'")
    await console.wait_for(f"{SWITCH}.parentElement.textContent.includes('in force with 1 worker')")
    try:
        status, answer = await asyncio.to_thread(worker.classify, WORDS)
        assert (status, answer["result"]["strategy"]) == (200, "performance")
        await console.run(f"{SWITCH}.parentElement.querySelector('[aria-expanded]').click()")
        await console.wait_for(f"/on, 100 %\\s*dora\\s*a drill/.test({SWITCH}.parentElement.textContent)")
        (pictures / "flag.png").write_bytes(await console.picture())
    finally:
        off = {"enabled": False, "reason": "the drill is over", "changed_by": "dora"}
        await asyncio.to_thread(worker.patch, "/api/v1/feature-flags/performance_mode", off)
    await console.wait_for(f"{SWITCH}.getAttribute('aria-checked') === 'false'")


async def test_a_change_that_was_given_up_leaves_all_as_it_was(console: Browser) -> None:
    slider = "document.querySelector('[aria-label^=\"Share of users with caching\"]')"
    await console.run(f"{slider}.focus()")
    await console.press("ArrowLeft")
    await console.wait_for("document.getElementById('dialog').open")
    await console.press("Escape")
    await console.wait_for("!document.getElementById('dialog').open")
    await console.wait_for(f"{slider}.value === '100'")


async def test_a_sentence_is_answered_and_explained_and_not_published(
    console: Browser, worker: WorkerProcess, pictures: Path
) -> None:
    await console.run("document.getElementById('try-text').focus()")
    await console.type(WORDS)
    await console.press("Enter")
    await console.wait_for("document.querySelector('.intent')")
    said = await console.run("document.querySelector('.answer').textContent")
    assert "Why" in said
    assert "rules" in said
    assert "revision" in said
    (pictures / "try.png").write_bytes(await console.picture())
    seen = await asyncio.to_thread(worker.get, "/console/bundle.json")
    assert WORDS not in seen


async def test_it_comes_back_by_itself_when_the_worker_does(
    browser: Browser, new_worker: NewWorker, pictures: Path
) -> None:
    worker = new_worker("worker-to-restart")
    await asyncio.to_thread(worker.wait_until_ready)
    await browser.open(f"http://127.0.0.1:{worker.port}/")
    await browser.wait_for(f"document.readyState === 'complete' && {BOARD} && {LINK} === 'live'")
    await asyncio.to_thread(worker.kill)
    await browser.wait_for(f"{LINK} === 'waiting'")
    assert "No word since" in await browser.run("document.getElementById('verdict').textContent")
    assert await browser.run("document.documentElement.classList.contains('stale')")
    (pictures / "gone.png").write_bytes(await browser.picture(whole=False))
    await asyncio.to_thread(worker.start)
    await browser.wait_for(f"{LINK} === 'live' && /^(Not ready|Ready|Answering)/.test({HEADLINE})", seconds=180)
    assert not await browser.run("document.documentElement.classList.contains('stale')")
    await browser.wait_for(f"/^(Ready|Answering)/.test({HEADLINE})", seconds=180)
    (pictures / "back.png").write_bytes(await browser.picture())


async def test_a_dead_letter_is_sent_again(
    console: Browser, worker: WorkerProcess, broker: EmbeddedServer, pictures: Path
) -> None:
    before = await asyncio.to_thread(worker.metric, DEAD_LETTERED)
    await asyncio.to_thread(publish, broker.endpoint, [Record(b"{broken", "a key")])
    await console.wait_for("document.querySelector('.letter button')")
    await console.run("document.querySelector('.letter button').click()")
    await console.wait_for("document.getElementById('dialog').open")
    await console.press("Enter")
    await console.wait_for("/\\d+ of \\d+ sent/.test(document.querySelector('.letter').textContent)")
    (pictures / "letters.png").write_bytes(await console.picture())
    await asyncio.to_thread(
        wait_until, lambda: worker.metric(DEAD_LETTERED) >= before + 2, "it was read again, and no better for it"
    )


async def test_a_release_that_was_pushed_is_promoted(
    console: Browser, worker: WorkerProcess, broker: EmbeddedServer, tmp_path: Path, pictures: Path
) -> None:
    push = ["models", "push", "--catalogue", str(default_catalogue_path()), "--store", str(tmp_path / "store")]
    settings: dict[str, Any] = {"KAFKA__BOOTSTRAP_SERVERS": broker.endpoint, "STATE_FOLDER": tmp_path}
    pushed = await asyncio.to_thread(run_command, *push, "--reason", "for the drill", "--json", **settings)
    release = json.loads(pushed.stdout)["release"]
    await console.open(f"http://127.0.0.1:{worker.port}/")
    promote = f"document.querySelector('[aria-label=\"Promote catalogue {release}\"]')"
    await console.wait_for(promote)
    (pictures / "release.png").write_bytes(await console.picture())
    await console.run(f"{promote}.click()")
    await console.wait_for("document.getElementById('dialog').open")
    for said, key in (("a drill", "Tab"), ("dora", "Enter")):
        await console.type(said)
        await console.press(key)
    await console.wait_for(f"document.getElementById('release').textContent.includes('{release}')")
    await console.wait_for(f"!{promote} && document.getElementById('releases').textContent.includes('serves')")


async def test_where_there_are_tokens_it_asks_for_one_and_acts_in_its_name(
    browser: Browser, new_worker: NewWorker, pictures: Path
) -> None:
    tokens = {"connie": {"secret": SECRET, "scopes": [*Scope]}}
    worker = new_worker("worker-with-tokens", ACCESS__TOKENS=json.dumps(tokens))
    await asyncio.to_thread(worker.wait_until_ready)
    await browser.open(f"http://127.0.0.1:{worker.port}/")
    await browser.wait_for(f"document.readyState === 'complete' && {LINK} === 'locked'")
    (pictures / "locked.png").write_bytes(await browser.picture(whole=False))
    await browser.run("document.querySelector('#notice button').click()")
    await browser.type(SECRET)
    await browser.press("Enter")
    await browser.wait_for(f"{LINK} === 'live' && {BOARD} && {FLAGS}")
    assert "connie" in await browser.run("document.getElementById('access').textContent")
    await browser.run("document.querySelector('.switch').click()")
    fields = await browser.run("[...document.querySelectorAll('#dialog label')].map((each) => each.textContent)")
    assert fields == ["Why"], "the token says who"
    assert await browser.run("Object.values(localStorage).join()") == "auto", "it is kept for the tab only"
    assert SECRET not in worker.log


async def test_axe_finds_nothing(console: Browser, axe: str) -> None:
    await console.run("document.querySelectorAll('.flag [aria-expanded]')[0].click()")
    for width, dark in ((1280, False), (1280, True), (390, False)):
        await console.look(width=width, dark=dark)
        assert await axe_faults(console, axe) == []
    await console.run(f"{SWITCH}.click()")
    await console.wait_for("document.getElementById('dialog').open")
    assert await axe_faults(console, axe) == [], "with a dialog open"


async def test_two_routes_are_compared_and_the_comparison_is_concluded(
    console: Browser, worker: WorkerProcess, axe: str, pictures: Path
) -> None:
    row = "document.querySelector('.comparison')"
    await console.run("document.getElementById('compare').click()")
    await console.wait_for("document.getElementById('dialog').open")
    assert await axe_faults(console, axe) == [], "with fields to choose from"
    await console.type("fast_enough")
    await console.run("document.querySelector('#dialog input[placeholder]').focus()")
    await console.type("Are the rules enough?")
    await console.press("Tab")
    await console.run("document.activeElement.select()")
    await console.type("dora")
    await console.press("Enter")
    await console.wait_for(f"{row} && {row}.textContent.includes('fast_enough')")
    said = await console.run(f"{row}.textContent")
    assert "experiment, running" in said
    assert "adaptive is adaptive, performance is performance" in said
    await console.run(
        f"[...{row}.querySelectorAll('button')].find((each) => each.textContent.includes('evidence')).click()"
    )
    await console.wait_for(f"{row}.textContent.includes('Users arrive as designed')")
    (pictures / "experiment.png").write_bytes(await console.picture())
    await console.run(f"[...{row}.querySelectorAll('button')].find((each) => each.textContent === 'Conclude').click()")
    await console.wait_for("document.getElementById('dialog').open")
    await console.run("document.querySelector('#dialog select').value = 'adaptive'")
    await console.run("document.querySelector('#dialog input').focus()")
    await console.type("the drill is over")
    await console.press("Enter")
    await console.wait_for(f"{row}.textContent.includes('experiment, concluded')")
    assert "Everyone has adaptive" in await console.run(f"{row}.textContent")
    concluded = json.loads(await asyncio.to_thread(worker.get, "/api/v1/experiments/fast_enough"))
    assert (concluded["experiment"]["winner"], concluded["changed_by"]) == ("adaptive", "dora")
