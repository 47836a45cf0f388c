"""The clients for topics and groups: one for each broker and configuration, and why one of their calls failed."""

from __future__ import annotations

import functools
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from flags.clients import REFUSALS
from schemas.errors import InvalidSettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka.admin import TopicMetadata

_ATTEMPT_SECONDS = 2.0

_STILL_SO_SECONDS = 60.0
"""librdkafka tells of the same error again after half a minute."""

_met: dict[AdminClient, deque[tuple[float, KafkaError]]] = {}
"""What each one's connections met last, and when by the monotonic clock."""


def admin_client(client: Mapping[str, Any]) -> AdminClient:
    """Return the process's one client for topics and groups with this configuration; it lives as long as the process.

    An answer holds its client until the thread that brought it lets go. If ours was gone by then, librdkafka would be
    asked to destroy the client on its own thread, and aborts the process.

    Raises:
        InvalidSettingsError: Its settings make no sense, such as a file of authorities that is none.
    """
    return _admin_client(frozenset(client.items()))


def ask_for_topics(admin: AdminClient, seconds: float) -> dict[str, TopicMetadata]:
    """Return every topic there is, by name; blocking.

    Args:
        admin: A client of `admin_client`.
        seconds: How long to try; where the broker refuses us, it is not tried for so long.

    Raises:
        KafkaException: No broker told.
    """
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        try:
            return admin.list_topics(timeout=min(_ATTEMPT_SECONDS, max(left, 0.0))).topics
        except KafkaException:
            if left <= _ATTEMPT_SECONDS or _is_refused(admin):
                raise


def why_failed(admin: AdminClient, failure: KafkaException) -> str:
    """Return why a call of a client of `admin_client` failed, for a person.

    librdkafka's calls only say that no broker answered in time. What its connections met on the way, such as a wrong
    password or a certificate that has expired, it tells by a callback.
    """
    error = _last_met(admin) or failure.args[0]
    return str(error.str())


def _is_refused(admin: AdminClient) -> bool:
    error = _last_met(admin)
    return error is not None and (error.code() in REFUSALS or error.code() == KafkaError._SSL)  # noqa: SLF001 - likewise


def _last_met(admin: AdminClient) -> KafkaError | None:
    if admin not in _met:
        return None
    admin.poll(0)  # which is when it calls back
    for met_at, error in _met[admin]:
        if time.monotonic() - met_at < _STILL_SO_SECONDS:
            return error
    return None


@functools.cache
def _admin_client(config: frozenset[tuple[str, Any]]) -> AdminClient:
    met: deque[tuple[float, KafkaError]] = deque(maxlen=1)

    def meet(error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - likewise; it says nothing of why
            met.append((time.monotonic(), error))

    try:
        client = AdminClient(dict(config) | {"error_cb": meet})
    except KafkaException as failure:
        why = failure.args[0].str()
        raise InvalidSettingsError(f"There is no talking to the broker by these settings: {why}") from failure
    _met[client] = met
    return client
