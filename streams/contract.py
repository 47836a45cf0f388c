"""`/openapi.json`: what a worker serves, described for programs; generated from the types, and served as it was."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

PATH = "/openapi.json"


def contract_routes() -> list[web.RouteDef]:
    """Return what to mount."""
    document = (files("schemas") / "generated" / "openapi.json").read_bytes()

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    return [web.get(PATH, show)]
