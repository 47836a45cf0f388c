"""Who is alive and how far each has come: what the workers' topic says, folded.

A worker is alive for as long as it is heard of. Clocks of machines differ, so that counts from when a record was
received; only of what stood there before we began to listen, the record's own time tells its age. And while nobody at
all is heard of, not even ourselves, it is we who are deaf, and nobody is taken for dead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from schemas.events import Presence  # noqa: TC001 - msgspec reads it from here

if TYPE_CHECKING:
    from collections.abc import Mapping


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it was heard of last.

    Attributes:
        heard_at: When, on our monotonic clock.
    """

    presence: Presence
    heard_at: float


class Roster:
    """The workers. One thread tells it; any may ask. All times are seconds of one monotonic clock.

    Args:
        deaf_seconds: So long a silence of all is ours: longer than from one presence of ours to the next, and shorter
            than any worker's expiry.
    """

    def __init__(self, deaf_seconds: float) -> None:
        self._deaf_seconds = deaf_seconds
        self._members: Mapping[str, Member] = {}
        self._last_word_at = float("-inf")

    def hear(self, worker_id: str, presence: Presence | None, *, now: float, age_seconds: float = 0.0) -> None:
        """Take a record.

        Args:
            worker_id: Its key.
            presence: Its value; None: the worker has stopped.
            now: When it was received.
            age_seconds: How old it was by then, where it had waited for us to listen.
        """
        members = {name: member for name, member in self._members.items() if self._lives(member, now)}
        if self._is_deaf(now):
            members = {name: msgspec.structs.replace(member, heard_at=now) for name, member in members.items()}
        self._last_word_at = now
        if presence is None:
            members.pop(worker_id, None)
        else:
            before = members.get(worker_id)
            heard_at = now - max(0.0, age_seconds)
            if before is not None and before.presence.started_at == presence.started_at:
                heard_at = max(heard_at, before.heard_at)
            members[worker_id] = Member(presence=presence, heard_at=heard_at)
        self._members = members

    def live(self, now: float) -> dict[str, Presence]:
        """Return the workers that are alive, by id."""
        return {name: member.presence for name, member in self._members.items() if self._lives(member, now)}

    def next_death(self, now: float) -> float:
        """Return in how many seconds the next of the living counts as dead, if others are heard of and it is not."""
        if self._is_deaf(now):
            return float("inf")
        left = [
            member.heard_at + member.presence.expires_seconds - now
            for member in self._members.values()
            if self._lives(member, now)
        ]
        return max(0.0, min(left, default=float("inf")))

    def _lives(self, member: Member, now: float) -> bool:
        as_of = self._last_word_at if self._is_deaf(now) else now
        return as_of - member.heard_at <= member.presence.expires_seconds

    def _is_deaf(self, now: float) -> bool:
        return now - self._last_word_at > self._deaf_seconds
