"""`intentstream bench`: what this machine makes of us and of others, side by side in one run."""

from __future__ import annotations

import click


@click.group
def command() -> None:
    """Measure this machine against others' work."""
