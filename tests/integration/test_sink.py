"""Results and feedback come to Postgres exactly once, whatever happens to Postgres meanwhile."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg
import msgspec
import pytest

from infra.chaos.freezing import frozen
from schemas.errors import InvalidEventError
from schemas.events import CE_TYPES, Alternative, Confirmation, Correction, ForgetRequest, ReviewRequest
from streams.sink.database import Database
from streams.sink.rows import Batch, Place, result_row
from streams.sink.schema import ForeignSchemaError, Migration, migrate, migrations
from streams.sink.writer import BatchWriter
from streams.topics import FEEDBACK, RESULTS
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.sink import Seen, SinkStand, new_database, results
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.embedded.server import EmbeddedServer
    from schemas.events import Result

_first = itertools.count(0, 10_000)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        create_our_topics(server.endpoint, partitions=2)
        yield server.endpoint


@pytest.fixture
def dsn(postgres_server: EmbeddedServer) -> str:
    return new_database(postgres_server.endpoint)


@pytest.fixture
def stand(broker: str, dsn: str) -> SinkStand:
    return SinkStand(broker, dsn)


def new_results(count: int) -> list[Result]:
    """Return results that no other test has."""
    return results(count, first=next(_first))


@contextmanager
def stream(stand: SinkStand) -> Iterator[None]:
    """Have results arrive all the time."""
    ending = threading.Event()

    def publish() -> None:
        while not ending.wait(0.02):
            stand.publish(*new_results(20))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def wait_until_equal(stand: SinkStand) -> None:
    logged = stand.logged()
    stand.wait_until_kept(len(logged))
    assert stand.kept() == logged


def test_results_become_rows(stand: SinkStand) -> None:
    stand.publish(*new_results(300))
    with stand.running():
        wait_until_equal(stand)
    assert stand.seen.fault is None


def test_what_is_read_twice_changes_nothing(stand: SinkStand) -> None:
    stand.publish(*new_results(50))
    with stand.running():
        wait_until_equal(stand)
    versions = stand.ask("SELECT id, xmin::text FROM intentstream.results ORDER BY id")
    stand.ask("DELETE FROM intentstream.positions")
    written = stand.seen.written["results"]
    with stand.running():
        wait_until(lambda: stand.seen.written["results"] == 2 * written, "everything was read again")
    assert stand.ask("SELECT id, xmin::text FROM intentstream.results ORDER BY id") == versions


def test_two_that_both_believe_to_be_elected_do_no_harm(stand: SinkStand) -> None:
    with stand.running(), stand.running(), stream(stand):
        stand.wait_until_kept(len(stand.logged()) + 200)
    with stand.running():
        wait_until_equal(stand)


def test_a_killed_postgres_loses_nothing(stand: SinkStand, postgres_server: EmbeddedServer) -> None:
    with stand.running(), stream(stand):
        stand.wait_until_kept(1)
        postgres_server.kill()
        try:
            wait_until(lambda: stand.seen.fault is not None, "the sink is read-only")
            wait_until(lambda: stand.seen.lag_seconds > 1, "the lag grows")
        finally:
            postgres_server.start()
        wait_until(lambda: stand.seen.fault is None, "the sink writes again")
    with stand.running():
        wait_until_equal(stand)


def test_a_database_that_takes_no_writes_is_read_and_catches_up(stand: SinkStand) -> None:
    with stand.running(), stream(stand):
        stand.wait_until_kept(1)
        set_read_only(stand, "on")
        try:
            wait_until(lambda: "25006" in (stand.seen.fault or ""), "Postgres refuses to write")
            assert stand.count("results") > 0
        finally:
            set_read_only(stand, "off")
        wait_until(lambda: stand.seen.fault is None, "the sink writes again")
    with stand.running():
        wait_until_equal(stand)


def test_a_connection_that_hangs_is_left(stand: SinkStand) -> None:
    with stand.running(), stream(stand):
        stand.wait_until_kept(1)
        with locked(stand, "results"):
            wait_until(lambda: stand.seen.fault is not None, "the sink gives up waiting")
        wait_until(lambda: stand.seen.fault is None, "the sink writes again")
    with stand.running():
        wait_until_equal(stand)


def test_a_frozen_postgres_is_left(stand: SinkStand, postgres_server: EmbeddedServer) -> None:
    with stand.running(), stream(stand):
        stand.wait_until_kept(1)
        with frozen(postgres_server):
            wait_until(lambda: "did not answer" in (stand.seen.fault or ""), "the sink gives up waiting")
        wait_until(lambda: stand.seen.fault is None, "the sink writes again")
    with stand.running():
        wait_until_equal(stand)


async def test_what_postgres_cannot_hold_is_kept_from_nobody_else(dsn: str) -> None:
    good, odd, bad, last = new_results(4)
    odd = msgspec.structs.replace(odd, user_id="a\x00b")
    bad = msgspec.structs.replace(bad, intent="".join(map(chr, range(0x4E00, 0x9FFF))))  # too long for an index
    now, seen = int(time.time() * 1000), Seen()
    rows = [
        result_row(msgspec.json.encode(result), Place(RESULTS, 0, offset, now))
        for offset, result in enumerate((good, odd, bad, last))
    ]
    async with Database(dsn, deadline_seconds=30) as database:
        writer = BatchWriter(database, cluster="this", retention_days=3, observer=seen)
        assert await writer.open() == {}
        await writer.write(Batch(rows, {(RESULTS, 0): 4}, {}))
        kept = await database.run(lambda connection: connection.fetch("SELECT id, user_id FROM results"))
        known = await database.run(lambda connection: connection.fetchval("SELECT next_offset FROM positions"))
    assert {row["id"]: row["user_id"] for row in kept} == {good.id: "ada", odd.id: "a\ufffdb", last.id: "ada"}
    assert seen.refused == {"results: ProgramLimitExceededError": 1}
    assert known == 4


def test_what_is_no_result_is_refused_in_words() -> None:
    for value in (None, b"", b"{", b"[]", b'{"id": "r"}', b"\xff"):
        with pytest.raises(InvalidEventError, match="no result"):
            result_row(value, Place(RESULTS, 0, 0, 0))


@pytest.mark.parametrize("keep_text", [False, True])
def test_a_text_is_kept_only_where_it_is_asked_for(broker: str, dsn: str, *, keep_text: bool) -> None:
    stand, mark = SinkStand(broker, dsn, keep_text=keep_text), f"u{next(_first)}"
    stand.say(
        Correction(utterance_id=mark, intent="refund", person_id="ada", text="planted words"),
        Confirmation(utterance_id=mark, person_id="bob"),
        ReviewRequest(
            utterance_id=mark,
            result_id="r",
            reason="uncertain",
            choices=(Alternative(intent=None, confidence=0.5),),
        ),
    )
    with stand.running():
        wait_until(lambda: stand.count("feedback") >= 3, "feedback is in the table")
    query = f"SELECT kind, person_id, intent, lesson, text FROM intentstream.feedback WHERE utterance_id = '{mark}'"  # noqa: S608 - ours
    rows = {row["kind"]: row for row in stand.ask(query)}
    assert rows.keys() == {"correction", "confirmation", "review_request"}
    assert (rows["correction"]["person_id"], rows["correction"]["intent"]) == ("ada", "refund")
    assert rows["correction"]["text"] == ("planted words" if keep_text else None)
    assert "planted" not in rows["correction"]["lesson"]
    assert rows["review_request"]["person_id"] is None


def test_what_is_to_be_forgotten_goes_also_where_it_is_read_later(stand: SinkStand) -> None:
    mark = f"u{next(_first)}"
    now = int(time.time() * 1000)
    said = [msgspec.json.encode(Confirmation(utterance_id=mark, person_id=f"{who}-{mark}")) for who in ("ada", "bob")]
    for value in said:
        stand.produce(FEEDBACK, value, timestamp=now - 2_000)
    request = ForgetRequest(person_id=f"ada-{mark}", asked_by="ada")
    headers = [("ce_type", CE_TYPES[ForgetRequest].encode())]
    stand.produce(FEEDBACK, msgspec.json.encode(request), headers=headers, timestamp=now - 1_000)
    stand.produce(FEEDBACK, said[0], timestamp=now - 1_500)
    stand.produce(FEEDBACK, said[0], timestamp=now)
    query = f"SELECT person_id, said_at FROM intentstream.feedback WHERE utterance_id = '{mark}' ORDER BY said_at"  # noqa: S608 - ours
    with stand.running():
        stand.wait_until_read(FEEDBACK)
    assert [row["person_id"] for row in stand.ask(query)] == [f"bob-{mark}", f"ada-{mark}"]


def test_of_who_is_forgotten_as_a_whole_no_result_of_before_is_kept_wherever_it_stands(stand: SinkStand) -> None:
    mark = f"whole-{next(_first)}"
    before, bobs = (
        [msgspec.structs.replace(result, user_id=f"{who}-{mark}") for result in new_results(2)]
        for who in ("ada", "bob")
    )
    stand.publish(before[0], *bobs)
    now = int(time.time() * 1000)
    request = ForgetRequest(person_id=f"ada-{mark}", asked_by="chief", texts=True)
    headers = [("ce_type", CE_TYPES[ForgetRequest].encode())]
    stand.produce(FEEDBACK, msgspec.json.encode(request), headers=headers, timestamp=now + 600_000)
    query = f"SELECT id FROM intentstream.results WHERE user_id LIKE '%-{mark}' ORDER BY id"  # noqa: S608 - ours
    with stand.running():
        stand.wait_until_read(FEEDBACK)
        stand.publish(before[1])  # of the time before
        stand.wait_until_read(RESULTS)
    assert [row["id"] for row in stand.ask(query)] == [result.id for result in bobs]


def test_old_days_are_dropped_and_tomorrows_is_there(broker: str, dsn: str) -> None:
    stand, today = SinkStand(broker, dsn, retention_days=3), dt.datetime.now(dt.UTC).date()
    with stand.running():
        stand.wait_until_kept(1)
    assert f"results_{today + dt.timedelta(days=1):%Y%m%d}" in partitions(stand)
    old = today - dt.timedelta(days=3)
    bounds = f"FROM ('{old}') TO ('{old + dt.timedelta(days=1)}')"
    stand.ask(f"CREATE TABLE intentstream.results_{old:%Y%m%d} PARTITION OF intentstream.results FOR VALUES {bounds}")
    aged = int((time.time() - 5 * 86_400) * 1000)
    stand.produce(FEEDBACK, msgspec.json.encode(Confirmation(utterance_id="u", person_id="p")), timestamp=aged)
    with stand.running():
        wait_until(lambda: stand.seen.refused["feedback: not_kept"] == 1, "what is older than is kept is passed over")
    assert f"results_{old:%Y%m%d}" not in partitions(stand)
    assert f"results_{today:%Y%m%d}" in partitions(stand)


def test_positions_of_another_log_do_not_count(stand: SinkStand) -> None:
    with stand.running():
        wait_until_equal(stand)
    stand.ask("UPDATE intentstream.positions SET next_offset = next_offset + 1000000")
    stand.publish(*new_results(5))
    with stand.running():
        wait_until_equal(stand)


async def test_many_migrate_at_once_and_again(dsn: str) -> None:
    async def bring() -> list[str]:
        async with Database(dsn, deadline_seconds=30) as database:
            return await database.run(migrate)

    applied = await asyncio.gather(*(bring() for _ in range(6)))
    names = [each.name for each in migrations()]
    assert max(applied, key=len) == names
    assert sum(map(len, applied)) == len(names)
    assert await bring() == []


async def test_a_migration_that_fails_leaves_nothing(dsn: str) -> None:
    wanted = [*migrations(), Migration(999, "0999_wrong.sql", "CREATE TABLE half (); SELECT nothing_like_it")]
    async with Database(dsn, deadline_seconds=30) as database:
        with pytest.raises(Exception, match="SQLSTATE 42703"):
            await database.run(lambda connection: migrate(connection, wanted))
        assert await database.run(lambda connection: connection.fetchval("SELECT to_regclass('half')")) is None
        assert await database.run(lambda connection: connection.fetchval("SELECT to_regclass('results')")) is None


async def test_tables_by_another_text_of_a_file_are_left_alone(dsn: str) -> None:
    async with Database(dsn, deadline_seconds=30) as database:
        await database.run(migrate)
        changed = [each._replace(sql=each.sql + " ") for each in migrations()]
        with pytest.raises(ForeignSchemaError, match="0001_log_in_tables"):
            await database.run(lambda connection: migrate(connection, changed))


def partitions(stand: SinkStand) -> set[str]:
    return {row["tablename"] for row in stand.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'intentstream'")}


def set_read_only(stand: SinkStand, value: str) -> None:
    """Have the whole server refuse writes, as it is set to do when its disk fills."""
    stand.ask(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    stand.ask("SELECT pg_reload_conf()")


@contextmanager
def locked(stand: SinkStand, table: str) -> Iterator[None]:
    """Hold a lock on a table, so that whoever writes to it waits."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(stand.dsn))
        transaction = connection.transaction()
        try:
            runner.run(transaction.start())
            runner.run(connection.execute(f"LOCK TABLE intentstream.{table} IN SHARE MODE"))
            yield
        finally:
            runner.run(transaction.rollback())
            runner.run(connection.close())
