"""Asks a server on this machine over HTTP, where that it does not answer is an answer, too."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

from infra.embedded.ports import LOOPBACK


def ask(port: int, method: str, path: str, body: bytes | None = None, *, seconds: float = 10.0) -> tuple[int, bytes]:
    """Return the status and the body of an answer; 0 and nothing where none comes.

    Args:
        port: Of the server.
        method: Of the request.
        path: With its query.
        body: JSON.
        seconds: How long any step of it may take.
    """
    connection = HTTPConnection(LOOPBACK, port, timeout=seconds)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()
