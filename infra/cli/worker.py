"""`intentstream worker`: one worker process."""

from __future__ import annotations

import click

from schemas.settings_loading import load_settings
from streams.app import run_worker


@click.command
def command() -> None:
    """Run one worker until it is told to stop.

    It answers /health at once, waits for the broker as long as it takes, and ends in good order on SIGINT or SIGTERM.
    """
    run_worker(load_settings())
