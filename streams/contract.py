"""What a worker takes and gives, described: a page at `/docs` for people, and the documents it shows for programs.

The documents are generated from the types, and served as they were.
"""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

from streams.packed_files import PackedFiles

DOCS = "/docs"
OPENAPI = "/openapi.json"
SCHEMAS = "/schemas"


def contract_routes() -> list[web.RouteDef]:
    """Return what to mount."""
    documents = PackedFiles(files("schemas") / "generated")
    page = PackedFiles(files("streams") / "contract_page")

    async def openapi(request: web.Request) -> web.Response:
        return documents["openapi.json"].answer(request)

    return [
        web.get(OPENAPI, openapi),
        web.get(f"{SCHEMAS}/{{file}}", documents.serve),
        web.get(DOCS, page.serve_index),
        web.get(f"{DOCS}/{{file}}", page.serve),
    ]
