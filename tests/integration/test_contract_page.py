"""The contracts as a worker shows them at `/docs`: all of both documents, small, in a real browser, and read by axe.

`DRILL_PICTURES=folder` keeps what was seen.
"""

from __future__ import annotations

import json
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from schemas.settings import Settings
from streams.app import Worker
from streams.packed_files import PackedFiles
from tests.kit.browser import axe_faults, running_browser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.kit.browser import Browser

Client = TestClient[web.Request, web.Application]

MOST_PAGE_BYTES = 60_000

SHOWN = "!document.getElementById('described').hidden"


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A worker's HTTP side."""
    monkeypatch.chdir(tmp_path)
    worker = Worker(Settings(state_folder=tmp_path))
    async with TestClient(TestServer(worker._web_application())) as client:
        yield client


@pytest.fixture
async def page(client: Client, tmp_path: Path) -> AsyncIterator[Browser]:
    """The page, in a browser."""
    async with running_browser(tmp_path / "profile") as browser:
        await browser.look()
        await browser.open(str(client.make_url("/docs")))
        await browser.wait_for(f"document.readyState === 'complete' && {SHOWN}")
        yield browser


async def _document(client: Client, path: str) -> Any:
    response = await client.get(path)
    assert (response.status, response.content_type) == (200, "application/json")
    return await response.json()


async def test_the_documents_stand_at_stable_addresses_and_lead_to_each_other(client: Client) -> None:
    assert (await _document(client, "/openapi.json"))["openapi"] == "3.1.0"
    events = await _document(client, "/schemas/asyncapi.json")
    assert events["asyncapi"] == "3.0.0"
    payloads = [message["payload"] for message in events["components"]["messages"].values()]
    for reference in [payload["$ref"] for payload in payloads if "$ref" in payload]:
        assert (await _document(client, f"/schemas/{reference.removeprefix('./')}"))["properties"]


@pytest.mark.parametrize("path", ["/schemas/events.py", "/schemas/..%2Fevents.py", "/schemas/released", "/docs/x.js"])
async def test_nothing_else_is_served(client: Client, path: str) -> None:
    assert (await client.get(path)).status == 404


async def test_the_page_may_load_its_own_files_and_nothing_else(client: Client) -> None:
    policy = (await client.get("/docs")).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy


async def test_all_of_the_page_is_small_and_there_and_asks_nobody_else(client: Client) -> None:
    own = PackedFiles(files("streams") / "contract_page")
    text = b"".join(file.content for file in own.values()).decode()
    assert not re.findall(r"https?://", text)
    named = {*re.findall(r"/(?:docs|console)/[\w.]+\.(?:js|css|svg)", text)}
    named |= {f"/docs/{name}" for name in re.findall(r'from "\./([\w.]+)"', text)}
    sizes = {path: len(await (await client.get(path)).read()) for path in ("/docs", *named)}
    assert sizes.keys() >= {f"/docs/{name}" for name in own.keys() - {"index.html"}}, "nothing is there for nobody"
    assert sum(sizes.values()) <= MOST_PAGE_BYTES
    assert all([(await client.get(path)).status == 200 for path in named])


async def test_every_topic_event_field_and_operation_is_shown(client: Client, page: Browser) -> None:
    shown = await page.run("document.getElementById('contract').textContent")
    events = await _document(client, "/schemas/asyncapi.json")
    for channel in events["channels"].values():
        assert channel["address"] in shown
    for message in events["components"]["messages"].values():
        assert message["name"] in shown
        for example in message.get("examples", []):
            assert json.dumps(example["payload"], indent=2, ensure_ascii=False)[:40] in shown
    http = await _document(client, "/openapi.json")
    for path, methods in http["paths"].items():
        assert path in shown
        for operation in methods.values():
            assert operation["summary"].replace("`", "") in shown
    for schema in http["components"]["schemas"].values():
        assert all(field in shown for field in schema.get("properties", {}))
    assert page.complaints == [], "the page keeps to its own content security policy"
    targets = "[...document.querySelectorAll('a[href^=\"#\"]')].map((each) => each.hash.slice(1))"
    assert await page.run(f"{targets}.filter((id) => !document.getElementById(id))") == []


async def test_an_address_opens_what_it_names_and_a_search_leaves_what_was_meant(page: Browser) -> None:
    await page.run("location.hash = '#event-result'")
    await page.wait_for("document.getElementById('event-result').open")
    assert not await page.run("document.getElementById('event-utterance').open")
    await page.run("document.getElementById('seek').focus()")
    await page.type("rollouts pause")
    left = "[...document.querySelectorAll('#http details')].filter((each) => !each.hidden).map((each) => each.id)"
    assert await page.run(left) == ["operation-pauseRollout"]
    assert await page.run("document.querySelector('#topics').innerText.trim()") == ""


async def test_axe_finds_nothing(page: Browser, axe: str, tmp_path: Path) -> None:
    pictures = Path(os.environ.get("DRILL_PICTURES") or tmp_path)
    await page.run(
        "['event-result', 'operation-classify'].forEach((id) => { document.getElementById(id).open = true })"
    )
    for name, width, dark in (("light", 1280, False), ("dark", 1280, True), ("narrow", 390, False)):
        await page.look(width=width, dark=dark)
        (pictures / f"docs-{name}.png").write_bytes(await page.picture(whole=False))
        assert await page.run("document.documentElement.scrollWidth") <= width, "nothing is wider than the window"
        assert await axe_faults(page, axe) == []
