"""Reads the headers of a consumed record, which somebody may have made unreadable."""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Any, Protocol, cast

from schemas.errors import InvalidEventError

if TYPE_CHECKING:
    from schemas.cloudevents import Headers

_UNREADABLE: list[tuple[str, str | bytes | None]] = []
"""Stands, by identity, in the place of headers that cannot be read."""


_ask = methodcaller("headers")
"""Where a name is no UTF-8, the client returns a list and leaves an exception set. A plain call of the method, once
CPython has specialised it, does not look, and the exception is raised by whatever comes next; this one always looks."""


class RecordWithHeaders(Protocol):
    """A record as a Kafka client hands it out."""

    def headers(self) -> Any:
        """Return them: a list of pairs with bytes or None as values, or None."""

    def set_headers(self, value: Any, /) -> None:
        """Replace them."""


def headers_of(record: RecordWithHeaders) -> Headers | None:
    """Return a consumed record's headers.

    Raises:
        InvalidEventError: A name is not UTF-8, which the client can read in no way.
    """
    try:
        headers = _ask(record)
    except (SystemError, UnicodeDecodeError):
        # The client keeps a broken list, and whoever asks for it again crashes the process.
        record.set_headers(_UNREADABLE)
        headers = _UNREADABLE
    if headers is _UNREADABLE:
        raise InvalidEventError("invalid_utf8", "The name of a header is not UTF-8.")
    return cast("Headers | None", headers)
