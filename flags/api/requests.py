"""What HTTP callers ask, read strictly: what is not understood is refused, every fault at once."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from schemas.cloudevents import json_fault
from schemas.errors import InvalidRequestError

if TYPE_CHECKING:
    from multidict import MultiMapping

JSON = "application/json"

_MAX_DIGITS = 15
_SHOWN_CHARACTERS = 64


class Query:
    """A query string, taken apart name by name.

    Args:
        query: As aiohttp has it.
        open_ended: Whether names that nobody asks for are something, too.

    Attributes:
        faults: What is wrong so far.
    """

    def __init__(self, query: MultiMapping[str], *, open_ended: bool = False) -> None:
        self._left = dict(query)
        self._open_ended = open_ended
        self.faults = [
            f"{name[:_SHOWN_CHARACTERS]} is there {count} times."
            for name, count in Counter(query.keys()).items()
            if count > 1
        ]

    def text(self, name: str) -> str | None:
        """Return what a name is; None if it is not there."""
        return self._left.pop(name, None)

    def integer(self, name: str, *, least: int, most: int) -> int | None:
        """Return a whole number; None if it is not there, or none."""
        text = self.text(name)
        if text is None:
            return None
        number = int(text) if _is_digits(text) else None
        if number is None or not least <= number <= most:
            self.faults.append(f"{name} is a whole number from {least:,} to {most:,}.")
            return None
        return number

    def seconds(self, name: str, *, most: float) -> float | None:
        """Return a duration; None if it is not there, or none."""
        text = self.text(name)
        if text is None:
            return None
        number = _number(text)
        if not 0 < number <= most:
            self.faults.append(f"{name} is more than 0, and at most {most:g}.")
            return None
        return number

    def number(self, name: str, *, least: float, most: float) -> float | None:
        """Return a number; None if it is not there, or none."""
        text = self.text(name)
        if text is None:
            return None
        number = _number(text)
        if not least <= number <= most:
            self.faults.append(f"{name} is a number from {least:g} to {most:g}.")
            return None
        return number

    def moment(self, name: str) -> int | dt.datetime | None:
        """Return a revision or a time; None if it is not there, or neither."""
        text = self.text(name)
        if text is None:
            return None
        if _is_digits(text):
            return int(text)
        try:
            time = dt.datetime.fromisoformat(text)
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            self.faults.append(f"{name} is a revision, or a time with its zone, such as 2026-01-02T03:04:05Z.")
            return None
        return time

    def rest(self) -> dict[str, str]:
        """Return what nobody asked for.

        Raises:
            InvalidRequestError: Everything that is wrong.
        """
        if "" in self._left:
            self.faults.append("A parameter has no name.")
        if not self._open_ended:
            self.faults += [f"There is no parameter {name[:_SHOWN_CHARACTERS]!r} here." for name in self._left]
        if self.faults:
            raise InvalidRequestError(*self.faults)
        return self._left


async def json_object(request: web.Request) -> dict[str, Any]:
    """Return a request's body.

    Raises:
        HTTPUnsupportedMediaType: It does not say that it is JSON, which no form of a foreign page can say either.
        InvalidRequestError: It is no JSON, or no object.
    """
    if request.content_type != JSON:
        raise web.HTTPUnsupportedMediaType
    body = await request.read()
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.ValidationError as error:
        raise InvalidRequestError("The body is no JSON object.") from error
    except RecursionError as error:
        raise InvalidRequestError("The body is nested too deeply.") from error
    except UnicodeDecodeError:
        raise InvalidRequestError("The body is not UTF-8.") from None
    except msgspec.DecodeError as error:
        raise InvalidRequestError(f"The body is no JSON: {json_fault(body, error)}.") from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
