"""One root error, so that a caller can tell our refusals from our bugs; each subclass says what can be done."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class IntentStreamError(Exception):
    """Something intentstream refuses or cannot do; the message says what was wrong and what to do.

    Attributes:
        code: A stable word for the kind of fault, for programs.
        http_status: What an HTTP caller is answered.
        http_headers: What an HTTP answer says besides.
        exit_code: What a shell is answered, after sysexits.h.
        faults: Everything that is wrong, a sentence each, where several things may be.
    """

    code = "internal"
    http_status = 500
    http_headers: Mapping[str, str] = MappingProxyType({})
    exit_code = 70
    faults: tuple[str, ...] = ()


class InvalidEventError(IntentStreamError):
    """A record that is no event of ours. It goes to the dead-letter topic; sending it again unchanged will not help.

    Attributes:
        code: Which fault it was; used in metrics and headers, too.
    """

    http_status = 400
    exit_code = 65

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidRequestError(IntentStreamError):
    """A request that makes no sense by itself: every fault at once. Sending it again unchanged will not help."""

    code = "invalid_request"
    http_status = 400
    exit_code = 64

    def __init__(self, *faults: str) -> None:
        super().__init__(" ".join(faults))
        self.faults = faults


class InvalidSettingsError(IntentStreamError):
    """Settings that cannot be used: every fault at once, each with its name and what it may be."""

    code = "invalid_settings"
    exit_code = 78


class InvalidCatalogueError(IntentStreamError):
    """A catalogue that cannot be served: every fault at once, each with its line."""

    code = "invalid_catalogue"
    http_status = 422
    exit_code = 65


class InvalidDataSetError(IntentStreamError):
    """A folder of labelled texts that cannot be read as one; the message names the file, the line and what to do."""

    code = "invalid_data_set"
    http_status = 422
    exit_code = 65


class UnavailableError(IntentStreamError):
    """Something outside this process is away; trying again later is right."""

    code = "unavailable"
    http_status = 503
    http_headers = MappingProxyType({"Retry-After": "1"})
    exit_code = 69


class UnauthenticatedError(IntentStreamError):
    """Nobody knows who asks: a token is needed, and none that we know came."""

    code = "unauthenticated"
    http_status = 401
    exit_code = 77

    def __init__(self, message: str, *, error: str | None = None) -> None:
        super().__init__(message)
        self.http_headers = {"WWW-Authenticate": _challenge(error=error)}


class ForbiddenError(IntentStreamError):
    """Whoever asks may not do this.

    Args:
        message: Why.
        scope: What their token lacks, if they have one.
    """

    code = "forbidden"
    http_status = 403
    exit_code = 77

    def __init__(self, message: str, *, scope: str | None = None) -> None:
        super().__init__(message)
        if scope is not None:
            self.http_headers = {"WWW-Authenticate": _challenge(error="insufficient_scope", scope=scope)}


def _challenge(**said: str | None) -> str:
    """Return what RFC 6750 has a server say of the token it wants."""
    parameters = {"realm": "intentstream", **said}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value is not None)


class UnknownFlagError(IntentStreamError):
    """No flag has this name; the message lists those that exist."""

    code = "unknown_flag"
    http_status = 404
    exit_code = 64
