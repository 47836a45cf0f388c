"""The OpenAPI document is valid, describes every route that a worker serves and no other, and is what it serves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from infra import generate
from infra.openapi.document import operations
from schemas.settings import Settings
from streams.app import Worker
from streams.console.routes import PREFIX
from streams.contract import DOCS

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = json.loads((generate.ROOT / generate.GENERATED / "openapi.json").read_text())


async def test_it_describes_every_route_that_a_worker_serves_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    application = Worker(Settings(state_folder=tmp_path))._web_application()
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in application.router.routes()
        if route.resource is not None and route.method != "HEAD" and not _is_a_page(route.resource.canonical)
    }
    described = {(operation.method, operation.path) for operation in operations()}
    assert served == described, "infra/openapi describes what is served"


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])


def test_every_reference_leads_somewhere() -> None:
    for reference in _references(DOCUMENT):
        assert reference.startswith("#/components/schemas/"), reference
        assert reference.rpartition("/")[2] in DOCUMENT["components"]["schemas"], reference


def test_every_operation_has_a_name_of_its_own_and_says_what_may_go_wrong() -> None:
    names = [operation.name for operation in operations()]
    assert len(names) == len(set(names))
    assert all({500, 503} <= operation.answers.keys() for operation in operations() if operation.scope is not None)


def _is_a_page(path: str) -> bool:
    """Say whether a route is a page's own, which changes with it: no part of the contract."""
    return path == "/" or path.startswith((PREFIX, DOCS))


def _references(document: Any) -> list[str]:
    if isinstance(document, list):
        return [reference for each in document for reference in _references(each)]
    if not isinstance(document, dict):
        return []
    own = [document["$ref"]] if "$ref" in document else []
    return own + _references(list(document.values()))
