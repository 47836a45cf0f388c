"""The flags' writer, for the length of a command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Producer

from flags.clients import reader_config, writer_config
from flags.writer import Writer
from streams.clients import client_config
from streams.topics import DEAD_LETTERS, FLAGS, FLAGS_AUDIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.settings import Settings


@contextmanager
def flag_writer(settings: Settings) -> Iterator[Writer]:
    """Open the writer that the settings lead to, and close it after."""
    client = client_config(settings)
    writer = Writer(
        new_producer=lambda: Producer(writer_config(client, settings.worker.group_id)),
        new_consumer=lambda: Consumer(reader_config(client)),
        topic=FLAGS,
        audit_topic=FLAGS_AUDIT,
        dead_letter_topic=DEAD_LETTERS,
        worker_id=settings.worker.id,
    )
    try:
        yield writer
    finally:
        writer.close()
