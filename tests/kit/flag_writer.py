"""A process that changes flags at random, one change after another, and prints each one's revision once it is told so.

`python -m tests.kit.flag_writer BROKER TOPIC AUDIT GROUP NAME CHANGES`
"""

from __future__ import annotations

import logging
import random
import sys
import time

from confluent_kafka import Consumer, Producer

from flags.clients import reader_config, writer_config
from flags.definitions import DEFINITIONS
from flags.edits import Edit
from flags.errors import ConflictError
from flags.writer import Writer
from health.logs import configure_logging
from schemas.errors import UnavailableError


def main() -> None:
    """Change flags until as many changes as wanted were acknowledged."""
    broker, topic, audit, group, name, changes = sys.argv[1:]
    configure_logging(level="ERROR", style="json", worker_id=name)
    quiet = logging.getLogger("librdkafka")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    client = {"bootstrap.servers": broker, "logger": quiet, "reconnect.backoff.max.ms": 500}
    writer = Writer(
        new_producer=lambda: Producer(writer_config(client, group)),
        new_consumer=lambda: Consumer(reader_config(client)),
        topic=topic,
        audit_topic=audit,
        dead_letter_topic=f"{topic}-dead-letters",
        worker_id=name,
    )
    done = 0
    while done < int(changes):
        fields = {"enabled": random.random() < 0.5, "salt": f"{name}/{done}"}  # noqa: S311 - no secret
        flag = random.choice(DEFINITIONS).name  # noqa: S311 - likewise
        try:
            written = writer.write(Edit(name=flag, fields=fields, changed_by=name))
        except (ConflictError, UnavailableError) as error:
            sys.stderr.write(f"{error}\n")
            time.sleep(0.1)
            continue
        sys.stdout.write(f"{written.revision} {written.salt}\n")
        sys.stdout.flush()
        done += 1


if __name__ == "__main__":
    main()
