"""Forgets a person: what their words taught, the key to their words, and their rows; and says what nobody can do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.cloudevents import decode_utterance
from schemas.errors import InvalidEventError
from schemas.events import Correction, ForgetRequest, Presence, ReviewRequest
from schemas.record_headers import headers_of
from streams.fleet.roster import Roster
from streams.fleet.workers import BEATS
from streams.learning.feedback import decode_feedback
from streams.learning.forgetting import ask_to_forget
from streams.reader import TopicReader
from streams.sink.database import Database, DatabaseAwayError
from streams.topics import DEAD_LETTERS, FEEDBACK, UTTERANCES, WORKERS

if TYPE_CHECKING:
    from confluent_kafka import Message

    from schemas.events import Source
    from schemas.settings import Settings
    from streams.privacy.person_keys import PersonKeys

_READ_SECONDS = 0.05
_ASK_SECONDS = 0.2
_MOST_CHARACTERS = 1_000_000

_presences = msgspec.json.Decoder(Presence)


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, and what was not.

    Attributes:
        person_id: Who is forgotten.
        key: `destroyed`; `none`: nothing of theirs was sealed since they were forgotten last, if ever; `off`: no text
            is sealed here.
        lessons: How many of what corrections teach changed, by what the guard says; None: it has not got to it yet.
        workers: How many workers open no text of theirs any more.
        workers_missing: Which live ones have not said so in time.
        seconds: From when the key was destroyed until the last of them said so.
        tables: `done`; `waiting`: the rows in Postgres are not deleted yet; `away`: nobody knows; `off`.
        plain: By topic, how many records with their plain text stay until retention takes them; None: not counted.
    """

    person_id: str
    key: str
    lessons: int | None
    workers: int
    workers_missing: tuple[str, ...]
    seconds: float
    tables: str
    plain: dict[str, int] | None = None

    @property
    def complete(self) -> bool:
        """Whether all that can be done is known to be done."""
        return self.lessons is not None and not self.workers_missing and self.tables in {"done", "off"}


def forget_person(
    settings: Settings,
    keys: PersonKeys | None,
    request: ForgetRequest,
    *,
    wait_seconds: float,
    count: bool,
) -> Forgotten:
    """Forget a person; doing it again changes nothing but what they have said since.

    First what was learnt, by who can still read it; then the key.

    Args:
        settings: Where everything is.
        keys: Of people; None: no text is sealed here.
        request: Who, and why.
        wait_seconds: How long to wait for the guard, for the workers and for Postgres, each.
        count: Whether to look for what is plain, which reads three topics from their beginning.

    Raises:
        UnavailableError: The broker is away; some of it may be done.
    """
    learning = ask_to_forget(settings, msgspec.structs.replace(request, texts=True), wait_seconds=wait_seconds)
    key, offset = "off", 0
    if keys is not None:
        destroyed = keys.destroy(request.person_id, by=request.asked_by, reason=request.reason)
        key, offset = ("destroyed" if destroyed.had_key else "none"), destroyed.offset
    begun = time.monotonic()
    live, missing = _wait_for_workers(settings, offset, wait_seconds)
    seconds = time.monotonic() - begun
    return Forgotten(
        person_id=request.person_id,
        key=key,
        lessons=None if learning.done is None else learning.done.lessons,
        workers=len(live) - len(missing),
        workers_missing=tuple(sorted(missing)),
        seconds=round(seconds, 3),
        tables=_wait_for_tables(settings, learning.source, wait_seconds),
        plain=_count_plain(settings, request.person_id) if count else None,
    )


def _wait_for_workers(settings: Settings, offset: int, seconds: float) -> tuple[set[str], set[str]]:
    """Wait until every live worker has applied the keys up to an offset; return who lives and who has not.

    By no other machine's clock: whoever has a record there lives until it has expired since we began to listen.
    """
    roster = Roster(deaf_seconds=(BEATS - 1) * settings.worker.presence_seconds)
    until = time.monotonic() + seconds
    with TopicReader(settings, [WORKERS], start="beginning") as reader:
        for record in reader.read_to_end():
            _hear(roster, record)
        while True:
            now = time.monotonic()
            live = roster.live(now)
            missing = {
                name
                for name, presence in live.items()
                if presence.keys_offset is not None and presence.keys_offset < offset
            }
            if not missing or now > until:
                return set(live), missing
            for record in reader.read(_READ_SECONDS):
                _hear(roster, record)


def _hear(roster: Roster, record: Message) -> None:
    key, value = record.key(), record.value()
    try:
        presence = None if value is None else _presences.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # no worker's
    name = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
    roster.hear(name, presence, now=time.monotonic())


def _wait_for_tables(settings: Settings, source: Source, seconds: float) -> str:
    """Wait until the request has been read by who writes the tables."""
    if not settings.sink.enabled:
        return "off"
    try:
        return asyncio.run(_tables(settings, source, seconds))
    except DatabaseAwayError:
        return "away"


async def _tables(settings: Settings, source: Source, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    database = Database(settings.postgres_dsn, deadline_seconds=settings.sink.query_seconds, read_only=True)

    async def reached(connection: Any) -> int:
        query = "SELECT max(next_offset) FROM positions WHERE topic = $1 AND partition = $2"
        return int(await connection.fetchval(query, source.topic, source.partition) or 0)

    async with database:
        while await database.run(reached) <= source.offset:
            if time.monotonic() > deadline:
                return "waiting"
            await asyncio.sleep(_ASK_SECONDS)
    return "done"


def _count_plain(settings: Settings, person_id: str) -> dict[str, int]:
    counts = dict.fromkeys((UTTERANCES, FEEDBACK, DEAD_LETTERS), 0)
    with TopicReader(settings, list(counts), start="beginning") as reader:
        for record in reader.read_to_end():
            topic = record.topic() or ""
            counts[topic] += (_is_plain_feedback if topic == FEEDBACK else _is_plain_utterance)(record, person_id)
    return counts


def _is_plain_utterance(record: Message, person_id: str) -> bool:
    try:
        received = decode_utterance(record.value(), headers_of(record), "plain", max_text_characters=_MOST_CHARACTERS)
    except InvalidEventError:
        return False  # sealed, or none
    return received.utterance.user_id == person_id


def _is_plain_feedback(record: Message, person_id: str) -> bool:
    try:
        said = decode_feedback(record.value(), headers_of(record))
    except InvalidEventError:
        return False
    if not isinstance(said, Correction | ReviewRequest) or said.text is None or said.key_id is not None:
        return False
    return (said.user_id or (said.person_id if isinstance(said, Correction) else None)) == person_id
