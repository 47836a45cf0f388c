"""How often somebody may ask over HTTP, so that one who asks without end takes no answers away from the others."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from aiohttp import web

from schemas.errors import IntentStreamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

    from health.metrics import Metrics
    from schemas.access import Access
    from schemas.settings import Web

_MOST_CALLERS = 10_000
"""Remembered at once; whoever asked longest ago is forgotten first, and so begins anew."""

_IPV6_NETWORK_BITS = 64
"""What one customer of a provider has at least: more addresses than there is memory for."""

TOKEN, ADDRESS = "token", "address"


class RateLimitedError(IntentStreamError):
    """Somebody asks more often than they may; asking again later, as late as is said, is right."""

    code = "rate_limited"
    http_status = 429
    exit_code = 75

    def __init__(self, seconds: float) -> None:
        super().__init__("You ask more often than you may; ask again in a while.")
        self.http_headers = {"Retry-After": str(max(1, math.ceil(seconds)))}


class Buckets:
    """A bucket of requests for each caller, which fills at a rate and holds a burst.

    Of each there is kept when it will be full, and nothing else (the generic cell rate algorithm, ITU-T I.371).

    Args:
        per_second: How fast each fills.
        burst: How many requests each holds.
        most: How many callers are remembered.
    """

    def __init__(self, per_second: float, burst: int, *, most: int = _MOST_CALLERS) -> None:
        self._interval = 1 / per_second
        self._capacity = burst * self._interval
        self._most = most
        self._full_at: OrderedDict[tuple[str, str], float] = OrderedDict()

    def take(self, caller: tuple[str, str], now: float) -> float:
        """Take one request out of a caller's bucket; return 0, or in how many seconds there will be one to take."""
        full_at = max(now, self._full_at.pop(caller, now)) + self._interval
        missing = full_at - now - self._capacity
        refused = missing > self._interval * 1e-6  # what is left over of adding up floats is no debt
        self._full_at[caller] = full_at - self._interval if refused else full_at
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
        return missing if refused else 0.0


def limit_rates(
    settings: Web, access: Access, metrics: Metrics, *, monotonic: Callable[[], float] = time.monotonic
) -> Middleware:
    """Let each caller ask so often, and no more; probes and metrics are never refused.

    A caller is whose token it is, else the address that is connected.

    Args:
        settings: How often.
        access: Knows whose a token is.
        metrics: Count who is refused.
        monotonic: Tells seconds.
    """
    buckets = Buckets(settings.requests_per_second, settings.burst_requests) if settings.requests_per_second else None

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if buckets is not None and (resource is None or is_limited(resource.canonical)):
            caller = _caller_of(request, access)
            seconds = buckets.take(caller, monotonic())
            if seconds:
                metrics.http_requests_limited.labels(caller[0]).inc()
                raise RateLimitedError(seconds)
        return await handler(request)

    return middleware


def is_limited(route: str) -> bool:
    """Say whether a route, by its template, may be refused to who asks too often; what monitoring asks never is."""
    return route not in {"/health", "/metrics"} and not route.startswith("/health/")


def _caller_of(request: web.Request, access: Access) -> tuple[str, str]:
    holder = access.holder_of(request)
    if holder is not None:
        return TOKEN, holder
    return ADDRESS, _network_of(request.remote or "")


def _network_of(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a socket that is a file has none
        return address
    if parsed.version == 4:  # noqa: PLR2004 - as it is called
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))
