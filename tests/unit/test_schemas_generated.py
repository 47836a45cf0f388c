"""The generated contracts are those of the code, valid by their own standards, and safe for who relies on the last."""

from __future__ import annotations

import copy
import json
import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from infra import generate
from infra.asyncapi import OPERATIONS
from infra.quoting import quoting_page
from schemas.compatibility import find_breaks
from schemas.examples import EXAMPLES
from schemas.json_schema import SCHEMA_NAMES, event_schema
from streams.topics import TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = sorted(SCHEMA_NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_passes_the_schema_and_comes_back_as_it_was(name: str) -> None:
    schema = event_schema(name)
    Draft202012Validator.check_schema(schema)
    wire = msgspec.json.encode(EXAMPLES[name])
    Draft202012Validator(schema).validate(json.loads(wire))
    assert msgspec.json.decode(wire, type=SCHEMA_NAMES[name]) == EXAMPLES[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_and_the_type_refuse_the_same(name: str) -> None:
    validator = Draft202012Validator(event_schema(name))
    whole = json.loads(msgspec.json.encode(EXAMPLES[name]))
    for field in whole:
        for event in ({other: whole[other] for other in whole if other != field}, whole | {field: {"no": ["field"]}}):
            try:
                msgspec.json.decode(json.dumps(event), type=SCHEMA_NAMES[name])
                accepted = True
            except msgspec.ValidationError:
                accepted = False
            assert validator.is_valid(event) == accepted, f"{field} in {event}"


def test_generated_files_agree_with_the_code() -> None:
    assert generate.differences() == []


def test_a_file_that_was_changed_by_hand_is_shown_and_mended(tmp_path: Path) -> None:
    generate.write(tmp_path)
    changed = tmp_path / generate.GENERATED / "intentstream.result.v1.schema.json"
    changed.write_text(changed.read_text().replace("calibrated", "guessed", 1))
    leftover = tmp_path / generate.GENERATED / "intentstream.gone.v1.schema.json"
    leftover.write_text("{}")
    said = generate.differences(tmp_path)
    assert len(said) == 2
    assert "intentstream.gone.v1.schema.json: nothing generates it" in said[0]
    assert "guessed" in said[1]
    generate.write(tmp_path)
    assert generate.differences(tmp_path) == []
    assert not leftover.exists()


def test_a_page_that_quotes_another_program_than_stands_there_is_shown_and_mended(tmp_path: Path) -> None:
    page, program = tmp_path / "docs/producing.md", "docs/examples/python/produce.py"
    shutil.copytree(generate.ROOT / "docs", tmp_path / "docs")
    quoted = (generate.ROOT / program).read_text()
    assert quoted in page.read_text()
    page.write_text(page.read_text().replace("idempotence", "impudence"))
    assert quoted in quoting_page(tmp_path, "docs/producing.md")
    assert any(fault.startswith("docs/producing.md: differs") for fault in generate.differences(tmp_path))


def test_the_check_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "differences", lambda: ["docs/settings.md: differs from the code"])
    checked = CliRunner().invoke(generate.main, ["--check"])
    assert checked.exit_code == 1
    assert "docs/settings.md: differs" in checked.stderr
    assert "Run `python -m infra.generate`" in checked.stderr


def test_every_topic_of_events_has_an_operation_for_each_of_them() -> None:
    assert {(spec.name, event) for spec in TOPICS for event in spec.events} == {
        (operation.topic, event) for operation in OPERATIONS for event in operation.events
    }


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    text = generate.generated_files()[generate.GENERATED / "asyncapi.json"]
    document = json.loads(text)
    for reference in _references(document):
        if reference.startswith("#/"):
            place = document
            for part in reference.removeprefix("#/").split("/"):
                place = place[part]
        else:
            assert generate.GENERATED / reference.removeprefix("./") in generate.generated_files()


def _references(document: object) -> list[str]:
    if isinstance(document, list):
        return [reference for each in document for reference in _references(each)]
    if not isinstance(document, dict):
        return []
    own = [document["$ref"]] if "$ref" in document else []
    return own + _references(list(document.values()))


@pytest.mark.parametrize("name", NAMES)
def test_events_are_safe_for_readers_and_records_of_the_last_release(name: str) -> None:
    released = generate.ROOT / generate.RELEASED / f"{name}.schema.json"
    if not released.exists():
        pytest.skip("new since the last release")
    assert find_breaks(json.loads(released.read_text()), event_schema(name)) == []


def test_no_released_event_is_gone() -> None:
    released = {path.name for path in (generate.ROOT / generate.RELEASED).glob("*.schema.json")}
    assert released <= {f"{name}.schema.json" for name in SCHEMA_NAMES}


RESULT = event_schema("intentstream.result.v1")


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema["properties"].update(later={"type": "string", "default": ""}),
        lambda schema: schema["properties"]["tier"].update(description="In other words."),
        lambda schema: schema["$defs"]["Timings"]["properties"].update(later={"type": "number", "default": 0}),
        lambda schema: schema["required"].reverse(),
    ],
)
def test_an_event_may_gain_optional_fields_and_better_words(change: Callable[[dict[str, Any]], object]) -> None:
    new = copy.deepcopy(RESULT)
    change(new)
    assert find_breaks(RESULT, new) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda schema: schema["properties"].pop("tier"), "$.tier: the field is gone"),
        (lambda schema: schema["required"].append("cached"), "$.cached: the field is required"),
        (lambda schema: schema["required"].remove("tier"), "$.tier: the field may be left out"),
        (lambda schema: schema["properties"]["tier"].update(type="integer"), "$.tier: type was 'string'"),
        (lambda schema: schema["properties"]["tier"].update(maxLength=3), "$.tier: maxLength was None and is 3"),
        (lambda schema: schema["properties"]["cached"].update(default=True), "$.cached: default was False"),
        (lambda schema: schema["properties"]["intent"].update(anyOf=[{"type": "string"}]), "$.intent: it could be one"),
        (lambda schema: schema["$defs"]["Outcome"]["enum"].append("bored"), "$.tried[].outcome: enum was"),
        (lambda schema: schema["$defs"]["Source"]["properties"].pop("offset"), "$.source.offset: the field is gone"),
    ],
)
def test_any_other_change_breaks_someone(change: Callable[[dict[str, Any]], object], said: str) -> None:
    new = copy.deepcopy(RESULT)
    change(new)
    (line, *_) = find_breaks(RESULT, new)
    assert line.startswith(said)
