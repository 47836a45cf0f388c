"""A moment as people name one on the command line: how long ago it was, or when."""

from __future__ import annotations

import datetime as dt
import re
import time
from typing import Any

import click

_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
_AGO = re.compile(r"(\d{1,6})([mhd])")


class Moment(click.ParamType):
    """How long ago, or a time; Unix time in seconds. A time without a zone is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return what was named, as click asks for it."""
        if isinstance(value, float):
            return value
        if ago := _AGO.fullmatch(str(value)):
            return time.time() - int(ago[1]) * _UNITS[ago[2]]
        try:
            moment = dt.datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither like 90m, 24h or 7d nor a time like 2026-11-23T09:00:00Z.", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
