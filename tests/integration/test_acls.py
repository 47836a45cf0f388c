"""With the rights of its role a worker works, and everybody else can do what theirs says and nothing more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, Message, Producer

from streams.acls import Granting
from streams.topics import CORRECTIONS, FEEDBACK, FLAGS, MODELS, RESULTS, UTTERANCES
from tests.kit.command import run_command
from tests.kit.secure_broker import PASSWORD
from tests.kit.waiting import wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from streams.acls import Grant
    from tests.kit.secure_broker import SecureBroker

    Grants = dict[str, list[Grant]]

PARTITIONS = 2
DENIED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}


def as_user(broker: SecureBroker, user: str, **more: Any) -> dict[str, Any]:
    return {
        "bootstrap.servers": broker.secure,
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(broker.authority),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": PASSWORD,
        **more,
    }


def why_not_written(broker: SecureBroker, user: str, topic: str, value: bytes = b"{}") -> int | None:
    """Return the code of why somebody cannot write to a topic; None: they can."""
    codes: list[int | None] = []

    def note(error: KafkaError | None, _record: Message) -> None:
        codes.append(error.code() if error else None)

    producer = Producer(as_user(broker, user, **{"enable.idempotence": True}))
    producer.produce(topic, value, b"key", on_delivery=note)
    producer.flush(60)
    return codes[0]


def why_not_read(broker: SecureBroker, user: str, topic: str, group: str) -> int | None:
    """Return the code of why somebody cannot read a topic in a group; None: they can."""
    consumer = Consumer(
        as_user(broker, user, **{"group.id": group, "auto.offset.reset": "earliest", "enable.partition.eof": True})
    )
    codes: list[int | None] = []

    def look() -> bool:
        message = consumer.poll(0.1)
        if message is not None:
            error = message.error()
            codes.append(None if error is None or error.code() == KafkaError._PARTITION_EOF else error.code())
        return bool(codes)

    try:
        consumer.subscribe([topic])
        wait_until(look, f"{user} is told of {topic}")
    finally:
        consumer.close()
    return codes[0]


def test_a_dry_run_says_what_would_be_given_and_gives_nothing(grants: Grants) -> None:
    assert grants["dry"] == grants["given"]
    given = {(each.principal, each.operation, each.resource) for each in grants["given"]}
    assert {each for each in given if each[0] == "User:shop"} == {("User:shop", "WRITE", f"topic {UTTERANCES}")}
    assert {each[1:] for each in given if each[0] == "User:warehouse" and each[1] != "DESCRIBE"} == {
        ("READ", f"topic {RESULTS}"),
        ("READ", "group warehouse"),
        ("READ", "group warehouse.*"),
    }
    assert not any(name.startswith("cluster") for who, _, name in given if who != "User:chief")


def test_nothing_is_given_twice(grants: Grants) -> None:
    assert grants["again"] == []


def test_what_somebody_may_do_beyond_their_role_is_named(grants: Grants) -> None:
    beyond = [each for each in grants["as somebody less"] if each.action is Granting.BEYOND]
    assert {each.principal for each in beyond} == {"User:chief"}
    topics = {each.resource for each in beyond if each.operation == "WRITE"}
    assert f"topic {FLAGS}" in topics
    assert f"topic {FEEDBACK}" not in topics


def test_a_consumer_named_as_the_workers_group_is_refused(secure_kafka: SecureBroker) -> None:
    settings: dict[str, Any] = {
        "KAFKA__BOOTSTRAP_SERVERS": secure_kafka.plain,
        "ACLS__CONSUMERS": '["User:intentstream"]',
    }
    done = run_command("topics", "apply", "--acls", "--dry-run", **settings)
    assert done.returncode == 78
    assert b"only workers may join" in done.stderr


def test_a_producer_can_publish_and_neither_read_results_nor_write_flags(secure_kafka: SecureBroker) -> None:
    assert why_not_written(secure_kafka, "shop", UTTERANCES, b'{"text": "hello"}') is None
    for topic in (RESULTS, FEEDBACK, FLAGS, MODELS, CORRECTIONS):
        assert why_not_written(secure_kafka, "shop", topic) in DENIED
    for topic in (RESULTS, UTTERANCES):
        assert why_not_read(secure_kafka, "shop", topic, "shop") in DENIED


def test_a_consumer_can_read_results_in_its_own_groups_only(secure_kafka: SecureBroker) -> None:
    assert why_not_read(secure_kafka, "warehouse", RESULTS, "warehouse") is None
    assert why_not_read(secure_kafka, "warehouse", RESULTS, "warehouse.second") is None
    assert why_not_read(secure_kafka, "warehouse", RESULTS, "warehouses") in DENIED
    assert why_not_read(secure_kafka, "warehouse", RESULTS, "intentstream") in DENIED
    assert why_not_read(secure_kafka, "warehouse", UTTERANCES, "warehouse") in DENIED
    assert why_not_written(secure_kafka, "warehouse", UTTERANCES) in DENIED


def test_who_corrects_can_do_that_alone(secure_kafka: SecureBroker) -> None:
    assert why_not_written(secure_kafka, "desk", FEEDBACK) is None
    assert why_not_written(secure_kafka, "desk", CORRECTIONS) in DENIED
    assert why_not_read(secure_kafka, "desk", FEEDBACK, "desk") in DENIED


def test_flags_are_changed_by_those_who_may_and_others_are_told(secure_kafka: SecureBroker, tmp_path: Path) -> None:
    def flip(user: str) -> tuple[int, str]:
        settings = secure_kafka.settings(secure_kafka.secure, user=user)
        done = run_command("flags", "set", "enhanced_logging", "--on", STATE_FOLDER=tmp_path, **settings)
        return done.returncode, done.stderr.decode()

    assert flip("switch")[0] == 0
    assert why_not_written(secure_kafka, "switch", RESULTS) in DENIED
    code, said = flip("shop")
    assert code != 0
    assert "Traceback" not in said
    assert "uthorization" in said


def test_an_admin_can_bring_topics_and_rights_in_line_and_a_worker_cannot(secure_kafka: SecureBroker) -> None:
    def apply(user: str) -> tuple[int, str]:
        settings = secure_kafka.settings(secure_kafka.secure, user=user)
        wanted = {"ACLS__PRODUCERS": '["User:shop2"]', "TOPICS__PARTITIONS": PARTITIONS}
        done = run_command("topics", "apply", "--acls", **(settings | wanted))
        return done.returncode, done.stderr.decode()

    code, said = apply("worker")
    assert code == 69, said
    assert "Traceback" not in said
    code, said = apply("chief")
    assert code == 0, said


def test_who_may_not_change_topics_is_told_and_can_go_on(secure_kafka: SecureBroker) -> None:
    settings = secure_kafka.settings(secure_kafka.secure) | {"TOPICS__PARTITIONS": PARTITIONS + 1}
    done = run_command("topics", "apply", "--json", **settings)
    changes = json.loads(done.stdout)["changes"]
    assert {change["action"] for change in changes} == {"refused"}
    assert all("does not let us" in change["what"] for change in changes)


def test_a_worker_lacks_no_right(secure_kafka: SecureBroker, prepared_models: Path, tmp_path: Path) -> None:
    settings = secure_kafka.settings(secure_kafka.secure)
    servers = str(settings.pop("KAFKA__BOOTSTRAP_SERVERS"))
    with WorkerProcess(servers, state_folder=prepared_models, log_file=tmp_path / "worker.log", **settings) as worker:
        worker.wait_until_ready()
        status, answer = worker.classify("i want to talk to somebody")
        assert (status, answer["published"]) == (200, True)
        change = {"enabled": True, "reason": "To see that it may", "changed_by": "tests"}
        status, answer = worker.patch("/api/v1/feature-flags/enhanced_logging?wait=all", change, seconds=60)
        assert status == 200, answer
        said = {"utterance_id": "u1", "text": "x", "intent": "greeting", "person_id": "p1"}
        assert worker.post("/api/v1/feedback", said)[0] == 201
        wait_until(lambda: worker.metric("intentstream_corrections_judged_total") > 0, "the guard has judged it")
        assert why_not_written(secure_kafka, "shop", UTTERANCES, b"no utterance") is None
        wait_until(lambda: worker.metric("intentstream_events_dead_lettered_total") > 0, "it has buried one")
        assert worker.terminate()[0] == 0
    denials = [line for line in worker.log.splitlines() if "uthoriz" in line or "AUTHORIZATION" in line]
    assert denials == []
