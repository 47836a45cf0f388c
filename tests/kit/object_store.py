"""A real server of S3's protocol (moto's), and what a test does to its objects behind intentstream's back."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.embedded import ports
from infra.embedded.process import Launch

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from infra.embedded.server import Say

BUCKET = "our-models"
_SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=anyone/20260101/us-east-1/s3/aws4_request"}
"""Who we are; this server asks for no more of a signature."""


@dataclass(frozen=True, kw_only=True)
class MotoProgram:
    """How to run moto's server.

    Attributes:
        program: The `moto_server` of its environment.
    """

    program: Path
    name: str = "moto"
    port_setting: str = ""

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:  # noqa: ARG002
        """There is nothing to prepare."""
        return Launch(command=[str(self.program), "-H", ports.LOOPBACK, "-p", str(port)])

    def answers(self, port: int) -> bool:
        """Return whether it has our bucket, which it makes."""
        try:
            return ObjectStore(port).put("", b"") == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def endpoint(self, port: int) -> str:
        """Return its URL."""
        return f"http://{ports.LOOPBACK}:{port}"


class ObjectStore:
    """The objects of our bucket, by their keys."""

    url = f"s3://{BUCKET}"

    def __init__(self, port: int) -> None:
        """Take where its server listens."""
        self._port = port

    def settings(self) -> dict[str, str]:
        """Return what the environment of whoever uses it holds, in AWS's own names."""
        return {
            "AWS_ENDPOINT_URL": f"http://{ports.LOOPBACK}:{self._port}",
            "AWS_ACCESS_KEY_ID": "anyone",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def get(self, key: str) -> bytes:
        """Return an object."""
        status, content = self._ask("GET", key)
        assert status == http.HTTPStatus.OK, key
        return content

    def put(self, key: str, content: bytes) -> int:
        """Write an object; return the status."""
        return self._ask("PUT", key, content)[0]

    def delete(self, key: str) -> None:
        """Remove an object."""
        assert self._ask("DELETE", key)[0] == http.HTTPStatus.NO_CONTENT, key

    def _ask(self, method: str, key: str, content: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(ports.LOOPBACK, self._port, timeout=10)
        try:
            connection.request(method, f"/{BUCKET}/{key}".rstrip("/"), content, _SIGNED)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
