"""What every request goes through: it is counted, timed and bounded, and no error reaches the caller raw."""

from __future__ import annotations

import http
import re
import secrets
import time
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiohttp import hdrs, web

from health.bodies import bound_bodies
from health.logs import describe_fault
from health.rate_limit import limit_rates
from schemas.access import Access, check_site
from schemas.errors import IntentStreamError
from schemas.problem import PROBLEM_JSON, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler, Middleware

    from health.metrics import Metrics
    from schemas.settings import Web

_log = structlog.get_logger(__name__)

UNMATCHED = "unmatched"
"""The route of a request that meets none; its path, which anyone can make up, becomes no label."""

_CLIENT_LEFT = "499"
"""What nginx calls a request whose sender went away before there was an answer."""

_EVENT_STREAM = "text/event-stream"
"""Lasts for as long as somebody looks, which says nothing of how fast we are."""

_SAFE_METHODS = {hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS}

_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def protect(app: web.Application, metrics: Metrics, settings: Web, access: Access | None = None) -> None:
    """Put everything in this module, and the limits of rates and bodies, around an application before it starts.

    Args:
        app: What is protected.
        metrics: Count what happens.
        settings: The limits.
        access: Knows who asks, by their token; without it, everybody is known by their address.
    """
    limits = limit_rates(settings, access or Access({}), metrics)
    app.middlewares.extend(
        [measure(metrics), answer_errors(metrics), limits, refuse_other_sites, bound_bodies(settings)]
    )
    app.on_response_prepare.append(add_security_headers)


def measure(metrics: Metrics) -> Middleware:
    """Count and time each request by method, route template and status; what never ends is not timed."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        method = request.method if request.method in hdrs.METH_ALL else "other"
        route = _route_template(request)
        status, endless = _CLIENT_LEFT, False
        started = time.perf_counter()
        with metrics.http_requests_active.track_inprogress():
            try:
                response = await handler(request)
                status = str(response.status)
                endless = response.content_type == _EVENT_STREAM
            finally:
                metrics.http_requests.labels(method, route, status).inc()
                if not endless:
                    metrics.http_request_seconds.labels(method, route).observe(time.perf_counter() - started)
        return response

    return middleware


def answer_errors(metrics: Metrics) -> Middleware:
    """Answer errors as problem details (RFC 9457); one nobody expected with an incident id, and no more."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except IntentStreamError as error:
            return problem(error.http_status, error.code, str(error), headers=error.http_headers, faults=error.faults)
        except web.HTTPException as error:
            if error.status < web.HTTPBadRequest.status_code:
                raise
            allow = {"Allow": error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
            return status_problem(error.status, error.reason, allow)
        except ConnectionError:
            raise  # the caller went away while it was sending: nobody is left to answer
        except Exception as error:  # noqa: BLE001 - the last guard before the caller; logged under an id and counted
            incident = secrets.token_hex(8)
            metrics.unexpected_errors.labels("http").inc()
            _log.error("request_failed", incident=incident, route=_route_template(request), **describe_fault(error))
            return problem(500, "internal", f"Something went wrong here; it was logged as incident {incident}.")

    return middleware


@web.middleware
async def refuse_other_sites(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let no page of another site have a browser change anything, or publish in its user's name."""
    if request.method not in _SAFE_METHODS:
        check_site(request)
    return await handler(request)


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Do so before a response is sent."""
    secure(response)


def secure(response: web.StreamResponse) -> None:
    """Forbid what no answer of ours needs; an answer that needs more has said so already."""
    response.headers[hdrs.SERVER] = "intentstream"
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


def problem(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, faults: tuple[str, ...] = ()
) -> web.Response:
    """Return an error as every route of ours answers it."""
    title = http.HTTPStatus(status).phrase
    body = msgspec.json.encode(Problem(title=title, status=status, code=code, detail=detail, faults=faults))
    return web.Response(status=status, body=body, content_type=PROBLEM_JSON, headers=headers)


def status_problem(status: int, reason: str | None = None, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an error of which the status, or its reason, says everything."""
    reason = reason or http.HTTPStatus(status).phrase
    return problem(status, _snake_case(reason), f"{reason}.", headers=headers)


def _route_template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


def _snake_case(reason: str) -> str:
    return re.sub(r"\W+", "_", reason).lower()
