"""Files of this package that a worker serves as they are packed: no build step, nothing from elsewhere."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

INDEX = "index.html"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "json": "application/json",
}


class PackedFile(NamedTuple):
    """One of them."""

    content: bytes
    content_type: str
    etag: str

    def answer(self, request: web.Request) -> web.Response:
        """Return it, or that the caller has it already."""
        headers = {
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            hdrs.CACHE_CONTROL: "no-cache",  # may be kept, and is asked for each time
            hdrs.ETAG: f'"{self.etag}"',
        }
        known = request.if_none_match or ()
        if any(tag.value in {self.etag, "*"} for tag in known):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.content, content_type=self.content_type, charset="utf-8", headers=headers)


class PackedFiles(dict[str, PackedFile]):
    """The files of a folder by name; those of other kinds than we serve are left out.

    Args:
        folder: Of a package.
    """

    def __init__(self, folder: Traversable) -> None:
        names = [file.name for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES]
        super().__init__({name: _packed_file(name, (folder / name).read_bytes()) for name in names})

    async def serve(self, request: web.Request) -> web.Response:
        """Answer a request whose route names a `file`."""
        file = self.get(request.match_info["file"])
        if file is None:
            raise web.HTTPNotFound
        return file.answer(request)

    async def serve_index(self, request: web.Request) -> web.Response:
        """Answer with the page itself."""
        return self[INDEX].answer(request)


def _packed_file(name: str, content: bytes) -> PackedFile:
    return PackedFile(content, _TYPES[name.rpartition(".")[2]], hashlib.sha256(content).hexdigest()[:32])
