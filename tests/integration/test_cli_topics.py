"""The commands that read and write topics, against a broker of their own."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from schemas.deadletter import dead_letter_headers
from schemas.errors import InvalidEventError
from schemas.events import Source
from schemas.record_headers import headers_of
from streams.topics import DEAD_LETTERS, RESULTS, UTTERANCES
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.command import run_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PARTITIONS = 3
KEY, VALUE = b"\x00key\xff", b'{"text": \xff\xfe no json'
HEADERS: list[tuple[str, bytes | None]] = [("a", b"\x00\x01"), ("a", None), ("content-type", b"text/x"), ("a", b"")]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the bootstrap servers of a broker that has our topics."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        create_our_topics(server.endpoint, PARTITIONS)
        yield server.endpoint


def ours(broker: str, *arguments: str, stdin: bytes = b"") -> Any:
    """Run a command on the broker."""
    return run_command(*arguments, stdin=stdin, KAFKA__BOOTSTRAP_SERVERS=broker, TOPICS__PARTITIONS=PARTITIONS)


def everything_on(broker: str, topic: str, *, after: dict[int, int] | None = None) -> list[Message]:
    """Read a topic with a client that is not ours, from these offsets on."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": str(uuid.uuid4()), "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(topic, number, (after or {}).get(number, 0)) for number in range(PARTITIONS)])
        found, ended = [], 0
        while ended < PARTITIONS:
            for record in consumer.consume(100, 1):
                if record.error():
                    ended += 1
                else:
                    found.append(record)
        return found
    finally:
        consumer.close()


def ends_of(broker: str, topic: str) -> dict[int, int]:
    """Return where each partition ends."""
    ends = dict.fromkeys(range(PARTITIONS), 0)
    for record in everything_on(broker, topic):
        ends[record.partition() or 0] = (record.offset() or 0) + 1
    return ends


def bury(
    broker: str,
    code: str,
    source: Source | None = None,
    count: int = 1,
    *,
    headers: Sequence[tuple[str, bytes | None]] | None = None,
    value: bytes = VALUE,
) -> None:
    """Put dead letters on their topic, as a worker does."""
    source = source or Source(topic=UTTERANCES, partition=1, offset=7)
    dead = dead_letter_headers(
        HEADERS if headers is None else headers,
        source,
        InvalidEventError(code, "It is bad."),
        failed_by="x",
        worker_id="w",
        time_text="now",
    )
    producer = Producer({"bootstrap.servers": broker})
    for _ in range(count):
        producer.produce(DEAD_LETTERS, value, KEY, headers=[*dead])
    assert producer.flush(20) == 0


def lines_of_json(output: bytes) -> Sequence[Any]:
    return [json.loads(line) for line in output.splitlines()]


def test_topics_that_are_in_line_are_left_as_they_are(broker: str) -> None:
    ended = ours(broker, "topics", "apply", "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == {"dry_run": False, "changes": [], "refused": 0, "acls": []}


def test_a_dry_run_says_what_would_change_and_changes_nothing(broker: str) -> None:
    arguments = ("topics", "apply", "--dry-run", "--json")
    first, second = (
        run_command(*arguments, KAFKA__BOOTSTRAP_SERVERS=broker, TOPICS__PARTITIONS=PARTITIONS + 1) for _ in range(2)
    )
    assert {change["action"] for change in json.loads(first.stdout)["changes"]} == {"grew"}
    assert first.stdout == second.stdout


def test_partitions_that_would_have_to_go_are_exit_code_78(broker: str) -> None:
    ended = run_command("topics", "apply", KAFKA__BOOTSTRAP_SERVERS=broker, TOPICS__PARTITIONS=PARTITIONS - 1)
    assert ended.returncode == 78
    assert f"INTENTSTREAM_TOPICS__PARTITIONS={PARTITIONS}".encode() in ended.stdout


def test_what_is_produced_is_a_cloud_event_with_the_key_of_its_conversation(broker: str) -> None:
    before = ends_of(broker, UTTERANCES)
    line = b'{"text": "hi", "id": "the-id", "user_id": "u", "conversation_id": "c", "intent": "greeting"}\n'
    ended = ours(broker, "produce", "--json", stdin=line)
    assert (ended.returncode, json.loads(ended.stdout)["delivered"]) == (0, 1)
    (record,) = everything_on(broker, UTTERANCES, after=before)
    headers = dict(record.headers() or [])
    assert record.key() == b"c"
    assert json.loads(record.value() or b"") == {
        "text": "hi", "id": "the-id", "user_id": "u", "conversation_id": "c"
    }  # fmt: skip
    assert (headers["ce_id"], headers["ce_type"]) == (b"the-id", b"intentstream.utterance.v1")


def test_bad_lines_are_named_and_nothing_else_is_lost(broker: str) -> None:
    before = ends_of(broker, UTTERANCES)
    content = b"".join(b'{"text": "number %d"}\n' % number if number % 10 else b"{bad\n" for number in range(1, 101))
    ended = ours(broker, "produce", "--format", "jsonl", "--json", "--user-id", "someone", stdin=content)
    report = json.loads(ended.stdout)
    assert ended.returncode == 65
    assert (report["delivered"], report["bad_lines"], report["not_delivered"]) == (90, 10, {})
    assert b"line 10: " in ended.stderr
    said = [json.loads(record.value() or b"") for record in everything_on(broker, UTTERANCES, after=before)]
    wanted = [f"number {number}" for number in range(1, 101) if number % 10]
    assert [each["text"] for each in said] == wanted  # one user: one partition, in order
    assert len({each["id"] for each in said}) == 90


def test_of_bad_lines_twenty_are_named_and_the_others_counted(broker: str) -> None:
    ended = ours(broker, "produce", "--format", "jsonl", stdin=b"{bad\n" * 1_000)
    *named, rest = ended.stderr.splitlines()
    assert (ended.returncode, len(named), rest) == (65, 20, b"980 more bad lines passed over.")
    assert named[-1].startswith(b"line 20: ")


def test_twenty_thousand_utterances_are_each_delivered_once(broker: str) -> None:
    before = ends_of(broker, UTTERANCES)
    ended = ours(broker, "produce", "--json", stdin=b"".join(b"text %d\n" % number for number in range(20_000)))
    assert json.loads(ended.stdout)["delivered"] == 20_000
    found = {json.loads(record.value() or b"")["text"] for record in everything_on(broker, UTTERANCES, after=before)}
    assert len(found) == 20_000


def test_a_limit_stops_reading(broker: str) -> None:
    ended = ours(broker, "produce", "--limit", "3", "--json", stdin=b"a\n" * 10)
    assert json.loads(ended.stdout)["delivered"] == 3


def test_a_tail_shows_committed_records_and_not_aborted_ones(broker: str) -> None:
    producer = Producer({"bootstrap.servers": broker, "transactional.id": "test-tail"})
    producer.init_transactions(20)
    for value, commit in ((b'{"id": "aborted"}', False), (b'{"id": "committed"}', True)):
        producer.begin_transaction()
        producer.produce(RESULTS, value, partition=0)
        producer.flush(20)
        if commit:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)
    ended = ours(broker, "tail", "results", "--from-beginning", "--limit", "1", "--json")
    (shown,) = lines_of_json(ended.stdout)
    assert shown["event"] == {"id": "committed"}
    assert (shown["topic"], shown["partition"]) == (RESULTS, 0)


def test_a_tail_of_utterances_shows_no_text_unless_asked(broker: str) -> None:
    ours(broker, "produce", stdin=b"a secret\n")
    arguments = ("tail", "utterances", "--from-beginning", "--limit", "1", "--json")
    assert "event" not in lines_of_json(ours(broker, *arguments).stdout)[0]
    assert "text" in lines_of_json(ours(broker, *arguments, "--show-value").stdout)[0]["event"]


@pytest.mark.parametrize(
    "command", [("tail", "deadletter", "--from-beginning", "--limit", "1"), ("deadletter", "list")]
)
def test_a_dead_letters_value_is_not_shown_unless_asked(broker: str, command: tuple[str, ...]) -> None:
    bury(broker, "hidden")
    shown = lines_of_json(ours(broker, *command, "--json").stdout)[0]
    assert {"value", "key"}.isdisjoint(shown)
    assert {"value", "key"} <= lines_of_json(ours(broker, *command, "--json", "--show-value").stdout)[0].keys()


def test_dead_letters_are_listed_by_their_kind(broker: str) -> None:
    bury(broker, "kind_a", count=2)
    bury(broker, "kind_b")
    listed = lines_of_json(ours(broker, "deadletter", "list", "--code", "kind_a", "--json").stdout)
    assert [letter["code"] for letter in listed] == ["kind_a", "kind_a"]
    assert listed[0]["source"] == {"topic": UTTERANCES, "partition": 1, "offset": 7}
    assert listed[0]["reason"] == "It is bad."


def test_a_replayed_dead_letter_is_the_original_byte_for_byte(broker: str) -> None:
    bury(broker, "to_replay")
    before = ends_of(broker, UTTERANCES)
    ended = ours(broker, "deadletter", "replay", "--code", "to_replay", "--yes", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["sent"]) == (0, 1)
    (record,) = everything_on(broker, UTTERANCES, after=before)
    *headers, (name, place) = headers_of(record) or []
    assert (record.key(), record.value(), headers, name) == (KEY, VALUE, HEADERS, "intentstream.replay.of")
    (letter,) = lines_of_json(ours(broker, "deadletter", "list", "--code", "to_replay", "--json").stdout)
    assert place == letter["id"].encode()


def test_records_that_keep_failing_are_each_sent_once_a_replay(broker: str) -> None:
    bury(broker, "keeps_failing", count=3)
    for round_number in range(1, 4):
        before = ends_of(broker, UTTERANCES)
        ended = ours(broker, "deadletter", "replay", "--code", "keeps_failing", "--yes", "--json")
        report = json.loads(ended.stdout)
        assert (report["sent"], len(report["left"])) == (3, 3 * (round_number - 1))
        for record in everything_on(broker, UTTERANCES, after=before):
            bury(broker, "keeps_failing", headers=headers_of(record))


def test_a_dead_letter_that_is_named_is_replayed_although_a_newer_one_stands_for_it(broker: str) -> None:
    bury(broker, "named_again")
    (letter,) = lines_of_json(ours(broker, "deadletter", "list", "--code", "named_again", "--json").stdout)
    bury(broker, "failed_otherwise", headers=[*HEADERS, ("intentstream.replay.of", letter["id"].encode())])
    by_code = ours(broker, "deadletter", "replay", "--code", "named_again", "--yes", "--json")
    assert json.loads(by_code.stdout)["sent"] == 0
    by_place = ours(broker, "deadletter", "replay", "--id", letter["id"], "--yes", "--json")
    assert json.loads(by_place.stdout)["sent"] == 1


def test_a_dead_letter_with_another_value_stands_for_none(broker: str) -> None:
    bury(broker, "stands_alone")
    (letter,) = lines_of_json(ours(broker, "deadletter", "list", "--code", "stands_alone", "--json").stdout)
    bury(broker, "forged", headers=[("intentstream.replay.of", letter["id"].encode())], value=b"another")
    ended = ours(broker, "deadletter", "replay", "--code", "stands_alone", "--yes", "--json")
    assert json.loads(ended.stdout)["sent"] == 1


def test_a_replay_takes_only_the_places_that_were_named(broker: str) -> None:
    bury(broker, "by_place", count=3)
    _, chosen, _ = lines_of_json(ours(broker, "deadletter", "list", "--code", "by_place", "--json").stdout)
    before = ends_of(broker, UTTERANCES)
    ended = ours(broker, "deadletter", "replay", "--id", chosen["id"], "--yes", "--json")
    assert json.loads(ended.stdout)["sent"] == 1
    assert len(everything_on(broker, UTTERANCES, after=before)) == 1


@pytest.mark.parametrize(("option", "code"), [("--dry-run", 0), ("--json", 2)])
def test_without_a_yes_nothing_is_replayed(broker: str, option: str, code: int) -> None:
    bury(broker, "not_sent")
    before = ends_of(broker, UTTERANCES)
    assert ours(broker, "deadletter", "replay", "--code", "not_sent", option).returncode == code
    assert everything_on(broker, UTTERANCES, after=before) == []


@pytest.mark.parametrize(
    ("code", "topic"),
    [("foreign", "somebody.elses.topic"), ("looping", DEAD_LETTERS), ("record_too_large", UTTERANCES)],
)
def test_what_cannot_be_sent_back_stays_and_is_named(broker: str, code: str, topic: str) -> None:
    bury(broker, code, Source(topic=topic, partition=0, offset=0))
    ended = ours(broker, "deadletter", "replay", "--code", code, "--yes", "--json")
    report = json.loads(ended.stdout)
    assert (report["found"], report["sent"]) == (0, 0)
    assert report["left"][0]["reason"]


def test_the_doctor_finds_nothing_wrong_with_a_broker_in_line(broker: str) -> None:
    findings = {
        finding["check"]: finding for finding in json.loads(ours(broker, "doctor", "--json").stdout)["findings"]
    }
    assert findings["broker"]["verdict"] == findings["topics"]["verdict"] == "ok"
