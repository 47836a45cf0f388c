"""The files that the page is made of, served as they are packed: no build step, nothing from elsewhere."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple

from aiohttp import hdrs, web

INDEX = "index.html"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class PageFile(NamedTuple):
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


def page_files() -> dict[str, PageFile]:
    """Return the files by name."""
    return {
        file.name: _page_file(file.name, file.read_bytes())
        for file in (files("streams.console") / "page").iterdir()
        if file.name.rpartition(".")[2] in _TYPES
    }


def _page_file(name: str, content: bytes) -> PageFile:
    return PageFile(content, _TYPES[name.rpartition(".")[2]], hashlib.sha256(content).hexdigest()[:32])
