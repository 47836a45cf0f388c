"""The embedded servers are real ones that answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import NewTopic
from redis import Redis

from flags.admin import admin_client
from infra.embedded.broker_version import check_broker
from schemas.server_settings import Kafka

if TYPE_CHECKING:
    from infra.embedded.server import EmbeddedServer


def test_redis_remembers_what_it_is_told(redis_server: EmbeddedServer) -> None:
    with Redis.from_url(redis_server.endpoint) as client:
        client.set("embedded", "yes")
        assert client.get("embedded") == b"yes"


async def test_postgres_answers_queries_on_our_database(postgres_server: EmbeddedServer) -> None:
    connection = await asyncpg.connect(postgres_server.endpoint)
    try:
        assert (
            await connection.fetchval("SELECT current_database() || '/' || current_user") == "intentstream/intentstream"
        )
    finally:
        await connection.close()


def test_a_broker_killed_and_started_again_still_has_its_records(kafka: EmbeddedServer) -> None:
    topic = "embedded.survives"
    admin = admin_client({"bootstrap.servers": kafka.endpoint})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)
    producer = Producer({"bootstrap.servers": kafka.endpoint, "transactional.id": topic})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(topic, b"hello")
    producer.commit_transaction(10)

    kafka.kill()
    kafka.start()

    consumer = Consumer(
        {
            "bootstrap.servers": kafka.endpoint,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    try:
        consumer.subscribe([topic])
        record = consumer.poll(20)
        assert record is not None
        assert record.value() == b"hello"
    finally:
        consumer.close()


def test_the_embedded_broker_is_new_enough(kafka: EmbeddedServer) -> None:
    check_broker(Kafka(bootstrap_servers=kafka.endpoint))
