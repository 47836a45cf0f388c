"""How one text is classified from a shell: in the command itself, or by a worker that is asked."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import msgspec
import pytest

from schemas.problem import Problem
from tests.kit.command import run_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def server_that_says(status: int, body: bytes) -> Iterator[str]:
    """Yield the URL of a server that answers every POST so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:  # it would go to standard error
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


def test_a_text_is_classified_without_any_server(tmp_path: Path) -> None:
    ended = run_command("classify", "where is my order", "--json", STATE_FOLDER=tmp_path, LOGS__LEVEL="ERROR")
    assert ended.stderr == b""
    result = json.loads(ended.stdout)
    assert (result["intent"], result["tier"]) == ("order_status", "rules")


def test_a_text_that_is_not_utf8_is_a_usage_error() -> None:
    ended = run_command("classify", "\udcff")
    assert ended.returncode == 2
    assert b"not UTF-8" in ended.stderr


def _problem(status: int, code: str, detail: str) -> bytes:
    return msgspec.json.encode(Problem(title="Refused", status=status, code=code, detail=detail))


@pytest.mark.parametrize(
    ("status", "body", "exit_code", "said"),
    [
        (400, _problem(400, "no_text", "$.text is white space."), 65, b"$.text is white space."),
        (503, _problem(503, "overloaded", "Too many wait."), 69, b"Too many wait."),
        (404, b"<html>nginx</html>", 69, b"is no worker"),
        (200, b"<html>nginx</html>", 69, b"No worker answers at"),
    ],
)
def test_what_a_worker_refuses_is_said_in_its_own_words(status: int, body: bytes, exit_code: int, said: bytes) -> None:
    with server_that_says(status, body) as url:
        ended = run_command("classify", "hello", "--url", url)
    assert ended.returncode == exit_code
    assert said in ended.stderr
    assert ended.stdout == b""
