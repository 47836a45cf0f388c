"""A headless Chromium that a test drives over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tarfile
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_AXE = "axe-core@4.10.3"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), "ArrowLeft": (37, ""), " ": (32, " ")}
_ANSWER_SECONDS = 30.0
_START_SECONDS = 60.0
_END_SECONDS = 20.0
_POLL_SECONDS = 0.05


class Browser:
    """One page of a Chromium.

    Args:
        socket: To the page's own end of the protocol.

    Attributes:
        complaints: What the page, or the browser of it, has said on the console as an error.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Take what the page says, until it is gone."""
        async for message in self._socket:
            said = json.loads(message.data)
            if (answer := self._waiting.pop(said.get("id"), None)) is not None and not answer.done():
                answer.set_result(said)
            elif said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.complaints.append(said["params"]["entry"]["text"])
            elif said.get("method") == "Runtime.exceptionThrown":
                details = said["params"]["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return what the browser answers to a command."""
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        said = await asyncio.wait_for(answer, _ANSWER_SECONDS)
        assert "error" not in said, f"{method}: {said['error']}"
        result: dict[str, Any] = said["result"]
        return result

    async def open(self, url: str) -> None:
        """Go to a page."""
        await self.call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """Return what an expression is, once it is settled."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def wait_for(self, condition: str, *, seconds: float = 60.0) -> None:
        """Return once a condition on the page holds."""
        try:
            async with asyncio.timeout(seconds):
                while not await self.run(f"Boolean({condition})"):  # noqa: ASYNC110 - the page knows of no event of ours
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise AssertionError(
                f"within {seconds:g} s it never was that {condition}; the page says:\n{text}"
            ) from None

    async def press(self, key: str) -> None:
        """Press one of the keys in `_KEYS`."""
        code, text = _KEYS[key]
        said = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **said, **({"text": text} if text else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **said)

    async def type(self, text: str) -> None:
        """Type a text where the focus is."""
        await self.call("Input.insertText", text=text)

    async def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Have the window be so large, and the system's colours so."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, *, whole: bool = True) -> bytes:
        """Return what is seen, or the whole page, as a PNG."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])


async def axe_faults(browser: Browser, axe: str) -> list[Any]:
    """Return what axe finds on the page as it is now, in short."""
    if not await browser.run("'axe' in window"):
        await browser.run(f"{axe}; true")
    found = json.loads(await browser.run("axe.run().then((found) => JSON.stringify(found.violations))"))
    return [(fault["id"], [(node["target"], node["failureSummary"]) for node in fault["nodes"][:3]]) for fault in found]


def bring_axe(folder: Path) -> str:
    """Return Deque's accessibility checker, from npm, or skip the test.

    Args:
        folder: For the package.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"needs npm, for {_AXE}")
    done = subprocess.run([npm, "pack", "--silent", _AXE], cwd=folder, capture_output=True, check=False, timeout=180)
    if done.returncode:
        pytest.skip(f"needs {_AXE}, which npm does not bring: {done.stderr.decode()[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        script = package.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@asynccontextmanager
async def running_browser(folder: Path) -> AsyncIterator[Browser]:
    """Run a Chromium; it is gone with the context.

    Args:
        folder: For its profile.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("needs Chromium: Debian's package is `chromium`")
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
    quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
    process = await asyncio.create_subprocess_exec(
        *(program, *options, *quiet, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        port = await _port(folder / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = await answer.json(content_type=None)
            url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            async with session.ws_connect(url, max_msg_size=0) as socket:
                browser = Browser(socket)
                listening = asyncio.create_task(browser.listen())
                for domain in ("Page", "Runtime", "Log"):
                    await browser.call(f"{domain}.enable")
                await browser.call("Emulation.setFocusEmulationEnabled", enabled=True)
                yield browser
                with suppress(TimeoutError):  # its answer may be lost with it
                    async with asyncio.timeout(2):
                        await browser.call("Browser.close")
                listening.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _END_SECONDS)  # until then it writes to its folder
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _port(file: Path) -> int:
    """Return where the browser listens, once it has said so."""
    async with asyncio.timeout(_START_SECONDS):
        while (port := _written_port(file)) is None:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(_POLL_SECONDS)
    return port


def _written_port(file: Path) -> int | None:
    return int(file.read_text().split()[0]) if file.exists() and file.read_text() else None
