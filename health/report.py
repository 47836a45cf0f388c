"""What every probe answers with: `application/health+json`, and the HTTP status that goes with it."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any

import msgspec

from health.checks import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONTENT_TYPE = "application/health+json"

Check = dict[str, Any]
"""One entry below `checks`; `status` is one of `Status`."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A probe's answer.

    Attributes:
        http_status: 200, or 503 if the status is `fail`.
        body: Of `application/health+json`.
    """

    http_status: int
    body: dict[str, Any]

    @property
    def passes(self) -> bool:
        """Say whether traffic may come."""
        return self.http_status == http.HTTPStatus.OK


def report(status: Status, body: Mapping[str, Any]) -> Report:
    """Return a probe's answer; less than well is still 200, so that nobody takes a worker away that makes do."""
    code = http.HTTPStatus.SERVICE_UNAVAILABLE if status is Status.FAIL else http.HTTPStatus.OK
    return Report(http_status=code, body={"status": status, **body})


def report_checks(checks: Mapping[str, list[Check]]) -> Report:
    """Return the answer of a probe that is as well as the worst of its checks."""
    return report(worst(check["status"] for entries in checks.values() for check in entries), {"checks": checks})


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of them; `pass` where there is none."""
    return max(statuses, key=list(Status).index, default=Status.PASS)


def component(name: str, status: Status, reason: str | None = None, **more: object) -> Check:
    """Return the check of a part of this worker.

    Args:
        name: Of the part.
        status: How it is.
        reason: Why it is not well.
        more: What else is known of it; what is None is left out.
    """
    known = {key: value for key, value in more.items() if value is not None}
    output = {} if reason is None else {"output": reason}
    return {"componentId": name, "componentType": "component", "status": status, **known, **output}
