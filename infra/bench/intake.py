"""How fast records go through the intake when the agent does nothing: exactly once, beside Quix Streams.

Both read the same topic from its beginning, in turn, round after round, each in a process and a group of its own, and
write to a new topic of their own. The clock runs from the first record in hand to the commit of the last; then what
each wrote is read back under read_committed and counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from infra.bench.broker import benchmark_broker
from infra.bench.peers import peer_command
from infra.bench.report import Report, new_report
from models.samples import load_sample_conversations
from schemas.errors import UnavailableError
from streams.clients import admin_client, client_config, producer_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.settings import Settings

OURS, QUIX = "intake_events_per_second", "quix_exactly_once_events_per_second"
_RUN_SECONDS = 120


def bench_intake(
    settings: Settings, *, events: int, rounds: int, partitions: int, say: Callable[[str], None]
) -> Report:
    """Measure both, interleaved.

    Args:
        settings: Whose broker is used if one is named; else an embedded one is started in a folder of its own.
        events: Records a round.
        rounds: Rounds of each.
        partitions: Of each topic.
        say: Told what is being done.

    Raises:
        UnavailableError: The broker or a peer could not be run, or what was written is not what was read.
    """
    begun = time.time()
    with benchmark_broker(settings, say) as there:
        measures = _run(there, events, rounds, partitions, say)
    return new_report(
        "bench intake",
        begun=begun,
        settings={"events": events, "rounds": rounds, "partitions": partitions},
        measures=measures,
        ratios={"intake_vs_quix_exactly_once": (OURS, QUIX)},
        notes=["Every round's output was read back under read_committed: as many records as went in."],
    )


def _run(
    settings: Settings, events: int, rounds: int, partitions: int, say: Callable[[str], None]
) -> dict[str, list[float]]:
    run = uuid.uuid4().hex[:8]
    source = f"bench.intake.{run}"
    _create(settings, source, partitions)
    say(f"writing {events:,} events")
    _fill(settings, source, events)
    measures: dict[str, list[float]] = {OURS: [], QUIX: []}
    for number in range(1, rounds + 1):
        for name in (OURS, QUIX):
            sink = f"{source}.{name}.{number}"
            _create(settings, sink, partitions)
            seconds = _pass_through(settings, name, source, sink, events)
            _check(settings, sink, events)
            measures[name].append(events / seconds)
            say(f"round {number} of {rounds}: {name} {events / seconds:,.0f}")
    return measures


def _create(settings: Settings, topic: str, partitions: int) -> None:
    admin = admin_client(settings)
    admin.create_topics([NewTopic(topic, partitions, settings.topics.replication_factor)])[topic].result(30)


def _fill(settings: Settings, topic: str, events: int) -> None:
    """Write utterances as a plain producer would: bare JSON, keyed by conversation."""
    said = [utterance for conversation in load_sample_conversations() for utterance in conversation.utterances]
    values = [msgspec.json.encode({"text": utterance.text, "user_id": "bench"}) for utterance in said]
    producer = Producer(producer_config(settings))
    for number in range(events):
        while True:
            try:
                producer.produce(topic, values[number % len(values)], b"conversation-%d" % (number % 1000))
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(60):
        raise UnavailableError("The broker did not take the benchmark's events within a minute.")


def _pass_through(settings: Settings, name: str, source: str, sink: str, events: int) -> float:
    """Run one side's process and return its seconds."""
    group = f"{sink}.group"
    if name == OURS:
        command = [sys.executable, "-m", "infra.bench.passthrough", source, sink, group, str(events)]
    else:
        command = peer_command("quix", "passthrough.py", settings.kafka_servers, source, sink, group, str(events))
    environment = os.environ | {"INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka_servers}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_RUN_SECONDS, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{name}: not done within {_RUN_SECONDS} s.") from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"{name}: exit status {error.returncode}: {error.stderr.strip()[-500:]}") from error
    return float(msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=dict[str, float])["seconds"])


def _check(settings: Settings, topic: str, events: int) -> None:
    """Count what was committed."""
    consumer = Consumer(
        client_config(settings)
        | {"group.id": "bench-count", "isolation.level": "read_committed", "enable.auto.commit": False}
        | {"enable.partition.eof": True}
    )
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        counted = 0
        ended: set[int | None] = set()
        while len(ended) < len(partitions):
            for message in consumer.consume(10_000, 0.2):
                if message.error():
                    ended.add(message.partition())
                else:
                    counted += 1
    finally:
        consumer.close()
    if counted != events:
        raise UnavailableError(f"{topic} has {counted:,} committed records, not {events:,}; the run is void.")
