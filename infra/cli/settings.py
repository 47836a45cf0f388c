"""`intentstream settings`: every setting, what it is now, and where that was said."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any

import click
import msgspec

from infra.cli.output import json_option, print_json
from schemas.secret_files import secret_files
from schemas.settings import PREFIX, settings_file
from schemas.settings_loading import load_settings
from schemas.settings_table import SettingRow, describe_settings

if TYPE_CHECKING:
    from pathlib import Path


@click.command
@json_option
def command(*, as_json: bool) -> None:
    """Show every setting, its value and where it is set.

    Secrets are stars.
    """
    rows = describe_settings(load_settings())
    file = settings_file()
    tree = tomllib.loads(file.read_text()) if file.is_file() else {}
    if as_json:
        print_json([msgspec.structs.asdict(row) | {"set_by": _set_by(row, tree, file)} for row in rows])
        return
    width = max(len(row.variable) for row in rows)
    for row in rows:
        origin = _set_by(row, tree, file)
        value = row.value or "-"
        click.echo(f"{row.variable:<{width}}  {value}" + (f"  ({origin})" if origin != "default" else ""))


def _set_by(row: SettingRow, tree: dict[str, Any], file: Path) -> str:
    """Return which of the places a value came from: the environment, a file of its own, the file, the default."""
    if os.environ.get(row.variable):
        return "environment"
    for name, secret in secret_files(PREFIX).items():
        if name.upper() == row.variable and secret.read_text().rstrip("\r\n"):
            return str(secret)
    found: Any = tree
    for part in row.name.split("."):
        if not isinstance(found, dict) or part not in found:
            return "default"
        found = found[part]
    return str(file)
