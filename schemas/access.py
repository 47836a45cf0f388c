"""Who may do what over HTTP: bearer tokens with scopes, or, where none is configured, people on this machine only.

Without tokens, a request must come from this machine, be meant for it, and be of no other site's page: a browser that
is shown a foreign page, or is told that a foreign name means 127.0.0.1, is not this machine's user.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import msgspec

from schemas.errors import ForbiddenError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.tokens import Scope, Token

API_KEY = "X-API-Key"
"""Where OpenFeature's remote evaluation protocol lets clients put a token, beside `Authorization`."""

_BEARER = "bearer"
_OWN_SITES = ("same-origin", "none")
"""The page that we served, and whoever typed the address; a neighbour of the same domain is neither."""

_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "Via")


class Caller(msgspec.Struct, frozen=True):
    """Who asks.

    Attributes:
        name: Of the token; None: someone on this machine, whom no token names.
    """

    name: str | None


class Request(Protocol):
    """What is looked at of a request, as aiohttp has it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the request; names in any case."""

    @property
    def remote(self) -> str | None:
        """Return the address of whoever is connected."""


class Access:
    """Lets requests in.

    Args:
        tokens: By name; none: only this machine is let in.
    """

    def __init__(self, tokens: Mapping[str, Token]) -> None:
        self._tokens = {
            name: (_digest(token.secret.get_secret_value()), token.scopes) for name, token in tokens.items()
        }

    def admit(self, request: Request, scope: Scope) -> Caller:
        """Return who asks, if they may.

        Raises:
            UnauthenticatedError: The request brings no token that we know, and one is needed.
            ForbiddenError: Its token lacks the scope; or there are no tokens, and it is not of this machine.
        """
        if not self._tokens:
            _check_is_local(request)
            return Caller(None)
        secret = _secret_of(request)
        if secret is None:
            raise UnauthenticatedError("This needs a token: `Authorization: Bearer …`.")
        name = self._name_of(secret)
        if name is None:
            raise UnauthenticatedError("There is no such token.", error="invalid_token")
        if scope not in self._tokens[name][1]:
            raise ForbiddenError(f"The token {name} has not the scope {scope}.", scope=scope)
        return Caller(name)

    def holder_of(self, request: Request) -> str | None:
        """Return whose token a request brings; None: nobody's that we know."""
        secret = _secret_of(request) if self._tokens else None
        return None if secret is None else self._name_of(secret)

    def _name_of(self, secret: str) -> str | None:
        """Return whose a secret is. Every token is looked at to its end, so that the time taken tells nothing."""
        given, found = _digest(secret), None
        for name, (digest, _) in self._tokens.items():
            if hmac.compare_digest(given, digest):
                found = name
        return found


def check_site(request: Request) -> None:
    """Let in what no page of another site has a browser send; programs say nothing of sites.

    Raises:
        ForbiddenError: Such a page does.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is None:  # a browser says it to https and to this machine; elsewhere it says the origin alone
        ours = origin is None or _place(origin) == _place(f"//{request.headers.get('Host', '')}")
    else:
        ours = site in _OWN_SITES
    if not ours:
        raise ForbiddenError("What another site's page has a browser send is refused here.")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def _secret_of(request: Request) -> str | None:
    kind, _, secret = request.headers.get("Authorization", "").strip().partition(" ")
    if kind.lower() == _BEARER and secret:
        return secret.strip()
    return request.headers.get(API_KEY)


def _check_is_local(request: Request) -> None:
    """Let in who is on this machine, and means it.

    Raises:
        ForbiddenError: It is not so.
    """
    headers = request.headers
    host = headers.get("Host", "")
    if not _is_loopback(request.remote or "") or any(name in headers for name in _PROXY_HEADERS):
        raise ForbiddenError(
            "No tokens are configured, so only callers on this machine are answered here; `access.tokens` sets some."
        )
    if not _is_loopback(_host_name(f"//{host}")):
        raise ForbiddenError("No tokens are configured, so only requests to localhost are answered here.")
    origin = headers.get("Origin")
    if origin is not None and _place(origin) != _place(f"//{host}"):
        raise ForbiddenError("No tokens are configured, so requests that another site's page makes are refused here.")


def _place(url: str) -> str:
    """Return the host and port of a URL; the scheme that a page was loaded by is not ours to know."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _host_name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
