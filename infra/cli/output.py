"""What a command says: to a person in plain lines, or to a program as JSON with nothing beside it."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output and nothing else.")


def print_json(value: Any) -> None:
    """Print one value as one line of JSON."""
    click.echo(msgspec.json.encode(value))


def say(text: str, *, as_json: bool = False) -> None:
    """Tell a person something; where a program reads standard output, on standard error."""
    click.echo(text, err=as_json)


def is_terminal() -> bool:
    """Return whether a person watches standard output."""
    return sys.stdout.isatty()
