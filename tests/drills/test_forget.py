"""Who is forgotten is in no topic, table or cache any more that anybody could read; all others are as they were."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from confluent_kafka import Producer
from redis import Redis

from schemas.errors import InvalidEventError
from schemas.events import Utterance
from streams.privacy.person_keys import PersonKeys
from streams.topics import DEAD_LETTERS, FEEDBACK, RESULTS, UTTERANCES
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.command import run_command
from tests.kit.person_keys import everything, master_key_file, sealing_settings
from tests.kit.sink import SinkStand, new_database
from tests.kit.waiting import wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.embedded.server import EmbeddedServer

PLANTED = "xylomancer"
SAID = [f"where is my parcel {PLANTED} {number}" for number in range(20)]
TAUGHT = f"could a grown up phone me {PLANTED}"
BOBS = [f"please cancel my order {number}" for number in range(20)]


class Shop:
    """Two workers that seal, and everything that they write to.

    Attributes:
        report: What `intentstream forget` said.
        openable: Of ada's texts and of bob's, how many somebody with the master key could read, before and after.
    """

    def __init__(self, broker: str, dsn: str, redis: EmbeddedServer, file: Path, workers: list[WorkerProcess]) -> None:
        self.broker = broker
        self.redis = redis
        self.workers = workers
        self.stand = SinkStand(broker, dsn)
        self.settings: dict[str, Any] = {
            "KAFKA__BOOTSTRAP_SERVERS": broker,
            "PRIVACY__MASTER_KEY_FILE": file,
            "POSTGRES__DSN": dsn,
        }
        self.file = file
        self.report: Any = None
        self.openable: dict[str, tuple[int, int]] = {}
        self.explained_before: Any = None

    def run(self, *arguments: str, stdin: bytes = b"") -> Any:
        done = run_command(*arguments, "--json", stdin=stdin, **self.settings)
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
        return json.loads(done.stdout)

    def say(self, user: str, texts: list[str]) -> None:
        lines = [json.dumps({"id": f"{user}-{row}", "text": text, "user_id": user}) for row, text in enumerate(texts)]
        said = self.run("produce", "--format", "jsonl", "-", stdin="\n".join(lines).encode())
        assert said["delivered"] == said["sealed"] == len(texts)

    def results(self, user: str) -> dict[str, dict[str, Any]]:
        events = [msgspec.json.decode(part) for part in everything(self.broker, topics={RESULTS}) if part[:1] == b"{"]
        return {event["utterance_id"]: event for event in events if event.get("user_id") == user}

    def answer(self, worker: WorkerProcess, text: str) -> dict[str, Any]:
        status, answer = worker.post("/api/v1/intents/classify?publish=false", {"text": text})
        assert status == 200
        result: dict[str, Any] = answer["result"]
        return result

    def count_openable(self) -> tuple[int, int]:
        """Return how many texts of ada's and of bob's somebody reads who has the log, its keys and the master key."""
        found = []
        with PersonKeys(sealing_settings(self.broker, self.file), self.file) as keys:
            open_text = keys.opening()
            for part in everything(self.broker):
                event = msgspec.json.decode(part) if part[:1] == b"{" else {}
                if "key_id" in event:
                    try:
                        found.append(open_text(event["key_id"], event["text"]))
                    except InvalidEventError as fault:
                        assert fault.code == "key_destroyed"  # noqa: PT017 - the others are read
        return sum(PLANTED in text for text in found), sum(text in BOBS for text in found)

    def tables(self) -> str:
        rows = [
            str(dict(row))
            for table in ("results", "feedback")
            for row in self.stand.ask(f"SELECT * FROM intentstream.{table}")  # noqa: S608 - ours
        ]
        return "\n".join(rows)

    def cached(self) -> bytes:
        client: Any = Redis.from_url(self.redis.endpoint)  # its types allow for a client that is awaited
        try:
            return b"".join(key + (client.get(key) or b"") for key in client.keys("intentstream:*"))
        finally:
            client.close()


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory,
    prepared_models: Path,
    postgres_server: EmbeddedServer,
    redis_server: EmbeddedServer,
) -> Iterator[Shop]:
    """A shop in which ada and bob spoke, two people corrected what ada was answered, and ada was forgotten."""
    folder = tmp_path_factory.mktemp("forget")
    file, dsn = master_key_file(folder), new_database(postgres_server.endpoint)
    with ExitStack() as stack:
        broker = stack.enter_context(running_broker(folder / "kafka")).endpoint
        create_our_topics(broker)
        chosen: dict[str, object] = {
            "PRIVACY__MASTER_KEY_FILE": file,
            "POSTGRES__DSN": dsn,
            "REDIS__URL": redis_server.endpoint,
            "SINK__KEEP_TEXT": "true",
            "REVIEW__SAMPLE_SHARE": "1",
        }
        workers = [
            stack.enter_context(
                WorkerProcess(
                    broker, state_folder=prepared_models, log_file=folder / f"{name}.log", worker_id=name, **chosen
                )
            )
            for name in ("one", "two")
        ]
        for worker in workers:
            worker.wait_until_ready(240)
        shop = Shop(broker, dsn, redis_server, file, workers)
        _live(shop)
        yield shop


def _live(shop: Shop) -> None:
    shop.say("ada", SAID)
    shop.say("bob", BOBS)
    wait_until(lambda: len(shop.results("ada")) == len(SAID) and len(shop.results("bob")) == len(BOBS), "all is said")
    for person in ("agent-1", "agent-2"):
        correction = {
            "utterance_id": "ada-0",
            "person_id": person,
            "user_id": "ada",
            "text": TAUGHT,
            "intent": "talk_to_agent",
        }
        assert shop.workers[0].post("/api/v1/feedback", correction)[0] == 201
    wait_until(
        lambda: all(shop.answer(worker, TAUGHT)["tier"] == "corrections" for worker in shop.workers), "both learnt it"
    )
    wait_until(lambda: shop.stand.count("results") == len(SAID) + len(BOBS), "the tables have it")
    wait_until(lambda: TAUGHT not in shop.tables() and "sealed:" in shop.tables(), "the tables have the correction")
    plain = Producer({"bootstrap.servers": shop.broker})
    plain.produce(UTTERANCES, b'{"id": "plain-0", "text": "never sealed", "user_id": "ada"}', b"ada")
    assert plain.flush(20) == 0
    wait_until(lambda: "plain-0" in shop.results("ada"), "what is plain is answered, too")
    before = shop.count_openable()
    shop.report = shop.run("forget", "--user", "ada", "--reason", "They asked.", "--wait", "60")
    after = shop.count_openable()
    shop.openable = {"ada": (before[0], after[0]), "bob": (before[1], after[1])}


def test_all_is_done_everywhere_and_what_cannot_be_is_said(shop: Shop) -> None:
    assert shop.report["key"] == "destroyed"
    assert (shop.report["workers"], shop.report["workers_missing"], shop.report["tables"]) == (2, [], "done")
    assert shop.report["lessons"] == 1
    assert shop.report["plain"] == {UTTERANCES: 1, FEEDBACK: 0, DEAD_LETTERS: 0}


def test_what_was_sealed_was_answered_as_if_it_were_plain(shop: Shop) -> None:
    results = shop.results("bob")
    for row, text in enumerate(BOBS):
        result = results[f"bob-{row}"]
        plain = shop.answer(shop.workers[0], text)
        assert (plain["intent"], plain["tier"]) == (result["intent"], result["tier"])
        assert plain["confidence"] == pytest.approx(result["confidence"], abs=1e-6)


def test_who_has_the_log_and_the_master_key_reads_nothing_of_who_is_forgotten_and_all_of_the_others(shop: Shop) -> None:
    # What was said, what people were asked, what they corrected, and the lesson.
    before, after = shop.openable["ada"]
    assert before >= 2 * len(SAID) + 3
    assert after == 0
    before, after = shop.openable["bob"]
    assert before == after == 2 * len(BOBS)


def test_nothing_that_was_planted_stands_anywhere_in_plain(shop: Shop) -> None:
    planted = PLANTED.encode()
    assert not any(planted in part for part in everything(shop.broker))
    assert PLANTED not in shop.tables()
    assert planted not in shop.cached()
    assert shop.cached()
    assert not any(PLANTED in worker.log for worker in shop.workers)


def test_rows_of_who_is_forgotten_are_gone_and_the_others_stay(shop: Shop) -> None:
    users = {row["user_id"] for row in shop.stand.ask("SELECT user_id FROM intentstream.results")}
    assert users == {"bob"}
    kept = shop.stand.ask("SELECT text, lesson FROM intentstream.feedback WHERE kind = 'correction'")
    assert {(row["text"], row["lesson"]) for row in kept} == {(None, None)}


def test_what_was_taught_by_those_words_decides_no_more(shop: Shop) -> None:
    for worker in shop.workers:
        wait_until(lambda worker=worker: shop.answer(worker, TAUGHT)["tier"] != "corrections", "it is forgotten")  # type: ignore[misc]  # a default binds it


def test_a_decision_is_explained_without_its_text(shop: Shop) -> None:
    explained = shop.run("explain", shop.results("ada")["ada-0"]["id"])
    assert explained["text_forgotten"]
    assert not explained["utterance_there"]
    assert not shop.run("explain", shop.results("bob")["bob-0"]["id"])["text_forgotten"]


def test_what_is_still_under_way_is_set_aside_unread_and_who_speaks_again_is_answered(shop: Shop) -> None:
    sealed = next(
        part for part in everything(shop.broker, topics={UTTERANCES}) if b'"ada-1"' in part and b"key_id" in part
    )
    late = Producer({"bootstrap.servers": shop.broker})
    late.produce(UTTERANCES, sealed, b"ada")
    assert late.flush(20) == 0
    wait_until(lambda: b"key_destroyed" in everything(shop.broker, topics={DEAD_LETTERS}), "it is set aside")
    assert sealed in everything(shop.broker, topics={DEAD_LETTERS})
    again = msgspec.json.decode(sealed, type=Utterance)
    shop.run("produce", "--format", "jsonl", "-", stdin=b'{"id": "ada-again", "text": "hello", "user_id": "ada"}')
    wait_until(lambda: "ada-again" in shop.results("ada"), "it is answered")
    newest = [part for part in everything(shop.broker, topics={UTTERANCES}) if b"ada-again" in part and b"{" in part]
    key_id = msgspec.json.decode(newest[-1], type=Utterance).key_id
    assert again.key_id is not None
    assert key_id == again.key_id.removesuffix(".1") + ".2"
