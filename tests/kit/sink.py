"""A sink on a thread of a test's own, over a real broker and a database of its own."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import msgspec
from confluent_kafka import Consumer, Producer

from schemas.cloudevents import event_headers
from schemas.events import CE_TYPES, Result, Timings
from schemas.server_settings import Kafka, Postgres
from schemas.settings import Settings, Sink
from streams.clients import sink_consumer_config
from streams.fleet.duty import Term
from streams.reader import TopicReader
from streams.sink.duty import SinkDuty
from streams.topics import FEEDBACK, RESULTS
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.fleet.election import Election


class Seen:
    """Takes note of what the sink says of itself."""

    def __init__(self) -> None:
        self.written: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.fault: str | None = None
        self.lag_seconds = 0.0
        self.resting = True

    def broker_error(self, code: str) -> None:
        assert code

    def unexpected(self, guard: str) -> None:
        raise AssertionError(guard)

    def sink_wrote(self, table: str, rows: int) -> None:
        self.written[table] += rows

    def sink_refused(self, table: str, code: str, rows: int) -> None:
        self.refused[f"{table}: {code}"] += rows

    def sink_state(self, fault: str | None, lag_seconds: float) -> None:
        self.fault, self.lag_seconds, self.resting = fault, lag_seconds, False

    def sink_rests(self) -> None:
        self.resting = True


class _Elected:
    """An election that is won."""

    elected = True

    def poll(self, seconds: float) -> None:
        assert seconds >= 0


class SinkStand:
    """A broker, a database, and what is asked of both.

    Args:
        broker: Its bootstrap servers; our topics are there.
        dsn: Of a database of its own.
        settings: Of the sink.
    """

    def __init__(self, broker: str, dsn: str, **settings: Any) -> None:
        chosen = {"flush_seconds": 0.1, "deadline_seconds": 2.0} | settings
        self.settings = Settings(
            kafka=Kafka(bootstrap_servers=broker), postgres=Postgres(dsn=cast("Any", dsn)), sink=Sink(**chosen)
        )
        self.seen = Seen()
        self.dsn = dsn
        self._producer = Producer({"bootstrap.servers": broker})

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have it write; afterwards it has ended, and what it was doing when told to is done or taken back."""
        ending = threading.Event()
        duty = SinkDuty(
            self.settings.sink,
            self.settings.postgres_dsn,
            new_consumer=lambda: Consumer(sink_consumer_config(self.settings)),
            observer=self.seen,
        )
        term = Term(cast("Election", _Elected()), duty, ending, self.seen)
        thread = threading.Thread(target=duty.work, args=[term], name="sink")
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join(30)
            assert not thread.is_alive()

    def publish(self, *results: Result) -> None:
        """Put results on their topic."""
        for result in results:
            headers = cast("Any", event_headers(CE_TYPES[Result], result.id, "2026-01-02T03:04:05Z", None))
            self._producer.produce(RESULTS, msgspec.json.encode(result), result.id.encode(), headers=headers)
        assert self._producer.flush(30) == 0

    def produce(self, topic: str, value: bytes, **more: Any) -> None:
        """Put bytes on a topic, as they are."""
        self._producer.produce(topic, value, b"key", **more)
        assert self._producer.flush(30) == 0

    def say(self, *feedback: Any) -> None:
        """Put what people said on the feedback topic."""
        for each in feedback:
            self.produce(FEEDBACK, msgspec.json.encode(each))

    def logged(self) -> list[dict[str, Any]]:
        """Return the results on the log, by id, but for those of people who are forgotten as a whole."""
        forgotten = {said["person_id"] for said in self._events(FEEDBACK) if said.get("texts") is True}
        events = [event for event in self._events(RESULTS) if event.get("user_id") not in forgotten]
        return sorted(events, key=lambda event: str(event["id"]))

    def _events(self, topic: str) -> list[dict[str, Any]]:
        """Return what is JSON on a topic."""
        events = []
        with TopicReader(self.settings, [topic], start="beginning") as reader:
            for record in reader.read_to_end():
                with suppress(msgspec.DecodeError):
                    events.append(msgspec.json.decode(record.value() or b""))
        return [event for event in events if isinstance(event, dict)]

    def kept(self) -> list[dict[str, Any]]:
        """Return the results in the table, by id."""
        rows = self.ask('SELECT event::text AS event FROM intentstream.results ORDER BY id COLLATE "C"')
        return [msgspec.json.decode(row["event"]) for row in rows]

    def wait_until_kept(self, results: int, *, seconds: float = 60.0) -> None:
        """Wait until the table has so many results."""
        wait_until(
            lambda: self.count("results") >= results,
            f"{results} results are in the table",
            seconds=seconds,
            also=lambda: f"{self.seen.fault} {self.seen.written} {self.seen.refused}",
        )

    def wait_until_read(self, topic: str) -> None:
        """Wait until what is on a topic now has been read, and what it asks for is done."""
        with TopicReader(self.settings, [topic], start="beginning") as reader:
            ends: dict[int, int] = {}
            for record in reader.read_to_end():
                ends[record.partition() or 0] = (record.offset() or 0) + 1
        wait_until(
            lambda: all(self._position(topic, partition) >= end for partition, end in ends.items()),
            f"{topic} has been read",
            also=lambda: str(self.seen.fault),
        )

    def _position(self, topic: str, partition: int) -> int:
        query = f"SELECT next_offset FROM intentstream.positions WHERE topic = '{topic}' AND partition = {partition}"  # noqa: S608 - ours
        try:
            rows = self.ask(query)
        except (asyncpg.PostgresError, OSError, TimeoutError):
            return 0
        return int(rows[0]["next_offset"]) if rows else 0

    def count(self, table: str) -> int:
        """Return how many rows a table has; 0 where there is no such table, or no database."""
        try:
            count: int = self.ask(f"SELECT count(*) AS count FROM intentstream.{table}")[0]["count"]  # noqa: S608 - ours
        except (asyncpg.PostgresError, OSError, TimeoutError):
            return 0
        return count

    def ask(self, query: str) -> Sequence[Any]:
        """Return what a query returns."""

        async def fetch() -> Sequence[Any]:
            connection = await asyncpg.connect(self.dsn, timeout=5)
            try:
                rows: Sequence[Any] = await connection.fetch(query, timeout=5)
                return rows
            finally:
                connection.terminate()

        return asyncio.run(fetch())


def new_database(server_dsn: str) -> str:
    """Make a database of a test's own; return its DSN."""
    name = f"t{uuid.uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(server_dsn, timeout=30)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()

    asyncio.run(create())
    return f"{server_dsn.rpartition('/')[0]}/{name}"


def results(count: int, *, first: int = 0, user: str = "ada", intent: str | None = "greeting") -> list[Result]:
    """Return results with ids of their own."""
    return [
        Result(
            id=f"r{number:06}",
            utterance_id=f"u{number:06}",
            intent=intent,
            confidence=0.75,
            tier="rules",
            tried=(),
            strategy="adaptive",
            release="abc",
            user_id=user,
            timings=Timings(queue_seconds=0.1, classify_seconds=0.01),
        )
        for number in range(first, first + count)
    ]
