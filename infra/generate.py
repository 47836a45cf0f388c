"""Writes what is generated from the code (`python -m infra.generate`), and says where it no longer agrees (`--check`).

The files are committed, so that a change of a contract is seen where changes are reviewed.
"""

from __future__ import annotations

import difflib
import json
import sys
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.asyncapi import asyncapi_document
from infra.grafana.dashboards import DASHBOARDS
from infra.monitoring_page import monitoring_page
from infra.openapi.document import openapi_document
from infra.quoting import PAGES, quoting_page
from schemas.json_schema import SCHEMA_NAMES, event_schema
from schemas.secret_files import SECRETS_VARIABLE
from schemas.settings import DEFAULT_FILE, FILE_VARIABLE, Settings
from schemas.settings_table import describe_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
GENERATED = Path("schemas/generated")
RELEASED = GENERATED / "released"
"""The schemas as of the last release, which changes are held against."""

_SHOWN_LINES = 20

_SETTINGS_INTRODUCTION = f"""\
# Settings

<!-- Written by `python -m infra.generate`; change the settings in `schemas` instead. -->

Each setting comes from its environment variable, else from a file of its own, else from a TOML file, else it has its
default. A file of its own is called as its variable, in the folder that `{SECRETS_VARIABLE}` names
([security](security.md#where-secrets-are-kept)). The TOML file is `{DEFAULT_FILE}` in the working folder, or whatever
`{FILE_VARIABLE}` names; there, `kafka.sasl_username` is `sasl_username` in the table `[kafka]`. What is empty counts as
not set. A name that is not below is refused, wherever it comes from. Secrets are stars wherever settings are printed,
such as by `intentstream settings`.

| setting | environment | what it may be | default | meaning |
|---|---|---|---|---|
"""


def generated_files() -> dict[Path, str]:
    """Return the text of every generated file, by its path from the root."""
    schemas = {GENERATED / f"{name}.schema.json": _json(event_schema(name)) for name in SCHEMA_NAMES}
    return schemas | {
        GENERATED / "asyncapi.json": _json(asyncapi_document(version("intentstream"))),
        GENERATED / "openapi.json": _json(openapi_document(version("intentstream"))),
        Path("docs/settings.md"): _settings_page(),
        Path("docs/monitoring.md"): monitoring_page(),
        **{Path(page): quoting_page(ROOT, page) for page in PAGES},
        **{Path(f"infra/grafana/generated/{each.uid}.json"): _json(each.render()) for each in DASHBOARDS},
    }


def differences(root: Path = ROOT) -> list[str]:
    """Return what is wrong with the files under a root, a paragraph a file."""
    expected = generated_files()
    faults = [f"{path}: nothing generates it any more" for path in _leftovers(root, expected)]
    for path, text in expected.items():
        there = (root / path).read_text() if (root / path).exists() else ""
        if there != text:
            diff = difflib.unified_diff(there.splitlines(), text.splitlines(), "there", "generated", n=0, lineterm="")
            faults.append("\n    ".join([f"{path}: differs from the code", *islice(diff, 2, 2 + _SHOWN_LINES)]))
    return faults


def write(root: Path = ROOT) -> None:
    """Write every generated file, and remove those that nothing generates any more."""
    expected = generated_files()
    for path, text in expected.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path in _leftovers(root, expected):
        (root / path).unlink()


def release(root: Path = ROOT) -> None:
    """Keep the schemas as they are now as those of the last release."""
    (root / RELEASED).mkdir(parents=True, exist_ok=True)
    for name in SCHEMA_NAMES:
        (root / RELEASED / f"{name}.schema.json").write_text(_json(event_schema(name)))


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if a file differs from the code.")
@click.option("--release", "is_release", is_flag=True, help="Also keep the schemas as those of the last release.")
def main(*, check: bool, is_release: bool) -> None:
    """Write the files that are generated from the code."""
    if check:
        faults = differences()
        if faults:
            click.echo("\n".join([*faults, "Run `python -m infra.generate` and commit what it writes."]), err=True)
            sys.exit(1)
        return
    write()
    if is_release:
        release()


def _leftovers(root: Path, expected: dict[Path, str]) -> list[Path]:
    return [path for path in _relative_schemas(root) if path not in expected]


def _relative_schemas(root: Path) -> Iterator[Path]:
    return (path.relative_to(root) for path in sorted((root / GENERATED).glob("*.schema.json")))


def _settings_page() -> str:
    """Return the table of settings; the values are left out, since they are this machine's."""
    table = ""
    for row in describe_settings(Settings.model_construct()):
        default = f"`{row.default}`" if row.default else ""
        table += f"| `{row.name}` | `{row.variable}` | {row.kind} | {default} | {row.description} |\n"
    return _SETTINGS_INTRODUCTION + table


def _json(schema: dict[str, object]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
