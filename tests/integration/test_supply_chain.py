"""What we are made of is written down, and asked about; that nobody could be asked is never taken for good news."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from infra.embedded.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "infra" / "supply_chain.sh"
SECONDS = 120
ADVISORY = {"id": "OSV-PLANTED-1", "modified": "2026-01-01T00:00:00Z", "summary": "Planted by a test"}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("uv") is None and not (ROOT / ".uv/bin/uv").exists():
        pytest.skip("needs uv, which `make install` brings")
    return subprocess.run(
        [SCRIPT, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, **environment, "NO_COLOR": "1", "NO_PROXY": "127.0.0.1"},
    )


class Advisories:
    """A service that speaks as OSV does, and knows of some packages that they are vulnerable."""

    def __init__(self) -> None:
        self.vulnerable: set[str] = set()
        self.asked: set[str] = set()

    async def query(self, request: web.Request) -> web.Response:
        names = [query["package"]["name"] for query in (await request.json())["queries"]]
        self.asked.update(names)
        known = [{"id": ADVISORY["id"], "modified": ADVISORY["modified"]}]
        return web.json_response({"results": [{"vulns": known} if name in self.vulnerable else {} for name in names]})

    async def tell(self, _request: web.Request) -> web.Response:
        return web.json_response(ADVISORY | {"affected": []})


@pytest.fixture
async def advisories() -> AsyncIterator[tuple[Advisories, str]]:
    service = Advisories()
    app = web.Application()
    app.add_routes([web.post("/v1/querybatch", service.query), web.get("/v1/vulns/{id}", service.tell)])
    async with TestServer(app) as server:
        yield service, str(server.make_url("/")).rstrip("/")


async def audited(url: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run, "audit", AUDIT_SERVICE_URL=url)


async def test_every_package_that_serving_installs_is_asked_about(advisories: tuple[Advisories, str]) -> None:
    service, url = advisories
    done = await audited(url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"aiohttp", "confluent-kafka", "faust-streaming", "onnxruntime"} <= service.asked
    assert "pytest" not in service.asked


async def test_a_known_vulnerability_fails_and_is_named(advisories: tuple[Advisories, str]) -> None:
    service, url = advisories
    service.vulnerable = {"aiohttp"}
    done = await audited(url)
    assert done.returncode == 1
    assert "aiohttp" in done.stdout
    assert str(ADVISORY["id"]) in done.stdout


async def test_where_nobody_can_be_asked_it_is_said_and_is_not_well() -> None:
    done = await audited(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 75
    assert "NOT AUDITED" in done.stderr


def test_the_bill_of_materials_names_what_serving_installs_as_it_is_locked(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    done = run("sbom", str(file))
    assert done.returncode == 0, done.stderr
    bill: dict[str, Any] = json.loads(file.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    listed = {(component["name"], component["version"]) for component in bill["components"]}
    locked = {(each["name"], each["version"]) for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    assert listed <= locked
    names = {name for name, _ in listed}
    assert {"aiohttp", "confluent-kafka", "torch"} <= names
    assert "pytest" not in names
