"""A worker's place in its group, and whether another has taken it: of two live ones with one id exactly one may go on.

Whoever has the place may be ourselves. A member that comes back after its session ended, when the broker was away, is a
new one to the broker, and a heartbeat still under way from the old one is then taken for an impostor's.
"""

from __future__ import annotations

import time

from confluent_kafka import KafkaError

from schemas.errors import UnavailableError

_SHUT_OUT = frozenset({KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID})  # noqa: SLF001 - that is its public name
"""Where the broker said the latter first, librdkafka says the former from then on, and delivers nothing any more. The
`fatal()` of an error in a record's place is never set."""

_TWIN_SESSIONS = 2.0
"""Shut out twice within as many sessions, we have a twin: it takes its place back within a few heartbeats, of which a
session has six. For our own stale heartbeat to do it again, another session must have run out first."""


class MemberFencedError(UnavailableError):
    """Another live worker uses our id; exactly one of the two may go on."""


class Membership:
    """Our place in the group, which we may take back once in a while.

    Args:
        session_seconds: How long the group waits for a heartbeat.
    """

    def __init__(self, session_seconds: float) -> None:
        self._session_seconds = session_seconds
        self._shut_out_at: float | None = None

    def check(self, error: KafkaError) -> None:
        """Look whether an error says that we are shut out.

        Raises:
            MemberFencedError: It does.
        """
        if error.code() in _SHUT_OUT:
            raise MemberFencedError(
                f"The broker has shut this worker out ({error.str()}): another live worker has the same id. "
                "Give each its own INTENTSTREAM_WORKER__ID."
            )

    def take_back(self, error: MemberFencedError) -> None:
        """Take note that we take our place back now; a twin takes it back in turn, and so we meet this again.

        Raises:
            MemberFencedError: The one given: we have met it before, and too lately for it to be ourselves.
        """
        now, last = time.monotonic(), self._shut_out_at
        if last is not None and now - last < _TWIN_SESSIONS * self._session_seconds:
            raise error
        self._shut_out_at = now
