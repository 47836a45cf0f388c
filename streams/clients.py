"""Configures every Kafka client from the settings, so that security and tuning stand in one place."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from flags import admin

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from schemas.settings import Settings

Config = dict[str, Any]

_log = logging.getLogger("intentstream.librdkafka")

MAX_RECORD_BYTES = 64 * 1024 * 1024
"""The largest record we write, uncompressed: what arrived small may be large once decompressed.

Below the 100 MiB that a broker accepts in one request (`socket.request.max.bytes`).
"""

_ELECTION_SESSION_MS = 6_000
"""The broker's minimum by default."""

_LIBRDKAFKAS_BATCH_BYTES = 1_000_000


def client_config(settings: Settings) -> Config:
    """Return what all clients share: where the broker is, how to prove who we are, where to log."""
    kafka = settings.kafka
    config: Config = {
        "bootstrap.servers": settings.kafka_servers,
        "client.id": settings.worker.id,
        "security.protocol": kafka.security_protocol,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "socket.keepalive.enable": True,
        "logger": _log,
    }
    if kafka.security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = kafka.sasl_mechanism
        config["sasl.username"] = kafka.sasl_username or ""
        config["sasl.password"] = kafka.sasl_password.get_secret_value() if kafka.sasl_password else ""
    if kafka.ssl_ca_location:
        config["ssl.ca.location"] = str(kafka.ssl_ca_location)
    if kafka.ssl_certificate_location:
        config["ssl.certificate.location"] = str(kafka.ssl_certificate_location)
        config["ssl.key.location"] = str(kafka.ssl_key_location or kafka.ssl_certificate_location)
        config["ssl.key.password"] = kafka.ssl_key_password.get_secret_value() if kafka.ssl_key_password else ""
    return config


def admin_client(settings: Settings) -> AdminClient:
    """Return the process's client for topics and groups."""
    return admin.admin_client(client_config(settings))


def intake_consumer_config(settings: Settings) -> Config:
    """Return the configuration of the consumer that feeds the transactions.

    A static member (KIP-345): a worker that restarts within the session timeout gets its partitions back at once,
    and nobody else's move.
    """
    session_ms = int(settings.intake.session_timeout_seconds * 1000)
    return client_config(settings) | {
        "group.id": settings.worker.group_id,
        "group.instance.id": settings.worker.id,
        "partition.assignment.strategy": "cooperative-sticky",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        # Else its position stays before the markers of transactions, and what is answered looks as if it were not.
        "enable.partition.eof": True,
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": max(500, session_ms // 6),
        # librdkafka waits a whole second, by default, before it fetches again after its queue was full.
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": 32_768,
        "receive.message.max.bytes": 2 * MAX_RECORD_BYTES,
        "check.crcs": True,
        # How soon partitions that somebody added are noticed; five minutes by default.
        "topic.metadata.refresh.interval.ms": 30_000,
    }


def transactional_producer_config(settings: Settings) -> Config:
    """Return the configuration of a worker's one transactional producer.

    `retry.backoff.ms`: the coordinator answers CONCURRENT_TRANSACTIONS for a few milliseconds after each commit;
    librdkafka's default of 100 made the p95 of a pass-through 210 ms instead of 55.
    """
    return client_config(settings) | {
        "transactional.id": f"{settings.worker.group_id}.{settings.worker.id}",
        "transaction.timeout.ms": int(settings.intake.transaction_timeout_seconds * 1000),
        "partitioner": "murmur2_random",
        "linger.ms": 2,
        "retry.backoff.ms": 5,
        "retry.backoff.max.ms": 250,
        "message.max.bytes": MAX_RECORD_BYTES,
        "batch.size": _batch_bytes(settings),
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 4 * MAX_RECORD_BYTES // 1024,
        "compression.type": "lz4",
    }


def answering_producer_config(settings: Settings) -> Config:
    """Return the configuration of a worker's producer of answers that come at least once.

    None is given up by librdkafka itself: how long to wait is `streams.deliveries.Deliveries`' to say.
    """
    return producer_config(settings) | {
        "message.timeout.ms": 0,
        "delivery.report.only.error": True,
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 4 * MAX_RECORD_BYTES // 1024,
    }


def producer_config(settings: Settings) -> Config:
    """Return the configuration of a producer whose records stand alone (the API, the command line)."""
    return client_config(settings) | {
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": 2,
        "message.max.bytes": MAX_RECORD_BYTES,
        "batch.size": _batch_bytes(settings),
        "compression.type": "lz4",
    }


def presence_producer_config(settings: Settings, *, delivery_ms: int) -> Config:
    """Return the configuration of the producer of presences, which go out at once and are soon old news."""
    return producer_config(settings) | {
        "linger.ms": 0,
        "message.timeout.ms": delivery_ms,
        "retry.backoff.ms": 20,
        "compression.type": "none",
    }


def evidence_consumer_config(settings: Settings) -> Config:
    """Return the configuration of a consumer that reads results and corrections to compare who got what."""
    return client_config(settings) | {
        "group.id": "intentstream-evidence",  # librdkafka wants a name; nobody joins and nothing is committed
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": 16_384,
        "receive.message.max.bytes": 2 * MAX_RECORD_BYTES,
    }


def guard_consumer_config(settings: Settings) -> Config:
    """Return the configuration of the guard's consumer: assigned by hand, its offsets kept with what it writes."""
    return evidence_consumer_config(settings) | {
        "group.id": f"{settings.worker.group_id}.guard-feedback",
        "enable.partition.eof": False,
    }


def guard_producer_config(settings: Settings) -> Config:
    """Return the configuration of the guard's producer: whoever begins to guard fences whoever guarded before."""
    return transactional_producer_config(settings) | {"transactional.id": f"{settings.worker.group_id}.guard"}


def sink_consumer_config(settings: Settings) -> Config:
    """Return the configuration of the sink's consumer: assigned by hand, its offsets kept with the rows."""
    return evidence_consumer_config(settings) | {"group.id": f"{settings.worker.group_id}.sink-log"}


def election_consumer_config(settings: Settings, purpose: str) -> Config:
    """Return the configuration of a consumer that reads nothing: whoever is assigned the partition acts.

    No static member: who stops lets go at once, and who is killed is replaced after a session, be it by itself. Who
    comes leaves whoever acts at it.
    """
    return client_config(settings) | {
        "group.id": f"{settings.worker.group_id}.{purpose}",
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": False,
        "auto.offset.reset": "latest",
        "session.timeout.ms": _ELECTION_SESSION_MS,
        "heartbeat.interval.ms": _ELECTION_SESSION_MS // 6,
        "topic.metadata.refresh.interval.ms": 10_000,
    }


def _batch_bytes(settings: Settings) -> int:
    """Return how large a batch of records may be, uncompressed; a topic refuses one beyond its limit as a whole."""
    return min(_LIBRDKAFKAS_BATCH_BYTES, settings.topics.max_record_bytes)
