"""Configures the Kafka clients that read and write flags, on top of what all clients share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import Producer

Config = dict[str, Any]

REFUSALS = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own errors are named so
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
"""What a broker says to those it does not know, or does not let: trying again mends none of it."""

_MAX_RECORD_BYTES = 32 * 1024 * 1024
"""Changes are small; a dead letter may not be."""

_log = logging.getLogger("intentstream.librdkafka.flags-writer")

_TRANSACTION_MS = 5_000
"""A writer that dies keeps followers from reading on for so long, unless another takes its turn, which ends it."""


def follower_config(client: Mapping[str, Any]) -> Config:
    """Return the configuration of a consumer that follows the changelog for ever.

    Args:
        client: What all clients share: where the broker is, how to prove who we are, where to log.
    """
    return _reading(client) | {"fetch.wait.max.ms": 100}


def reader_config(client: Mapping[str, Any]) -> Config:
    """Return the configuration of a consumer that reads to the end now and then, and waits for nothing after it."""
    return _reading(client) | {"fetch.wait.max.ms": 5}


def writer_config(client: Mapping[str, Any], group_id: str, *, purpose: str = "flags-writer") -> Config:
    """Return the configuration of a producer that takes turns with all others of the group: they share its id.

    Args:
        client: What all clients share.
        group_id: The workers' group.
        purpose: Which log it writes to; each has turns of its own.
    """
    _log.addFilter(_is_news)
    return dict(client) | {
        "logger": _log,
        "transactional.id": f"{group_id}.{purpose}",
        "transaction.timeout.ms": _TRANSACTION_MS,
        "partitioner": "murmur2_random",
        "linger.ms": 0,
        "message.max.bytes": _MAX_RECORD_BYTES,
        # After each commit the coordinator answers CONCURRENT_TRANSACTIONS for a few milliseconds.
        "retry.backoff.ms": 5,
        "retry.backoff.max.ms": 250,
    }


def retire(producer: Producer) -> None:
    """Have a transactional producer that is not needed any more forget what it has not sent, before it is destroyed.

    Destroying one with a produce request under way damages the heap: librdkafka 2.14.2 frees the text of the
    transaction's error first, and the request's failure, on the broker's thread, frees it again. See docs/adr/0003.
    """
    producer.purge()


def _reading(client: Mapping[str, Any]) -> Config:
    return dict(client) | {
        "group.id": "intentstream-flags",  # librdkafka wants a name; nobody joins and nothing is committed
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "fetch.error.backoff.ms": 20,
        "fetch.queue.backoff.ms": 5,
        "check.crcs": True,
    }


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out that a writer lost its turn: to librdkafka that is the end, to us how turns are taken."""
    said = record.getMessage()
    return "fenced" not in said and "old epoch" not in said
