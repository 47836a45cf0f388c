"""Quix Streams passing records on, exactly once, as its documentation shows it: what ours is held against.

Takes BROKER, SOURCE, SINK, GROUP and COUNT, and prints one JSON object when COUNT records are committed.
"""

from __future__ import annotations

import json
import sys
import time

from quixstreams import Application


def main(broker: str, source: str, sink: str, group: str, count: int) -> None:
    """Pass `count` records from one topic to the other and print how long that took."""
    first: list[float] = []

    def pass_on(value: bytes) -> bytes:
        if not first:
            first.append(time.time())
        return value

    application = Application(
        broker_address=broker,
        consumer_group=group,
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="WARNING",
    )
    records = application.topic(source, key_deserializer="bytes", value_deserializer="bytes")
    passed = application.topic(sink, key_serializer="bytes", value_serializer="bytes")
    application.dataframe(records).apply(pass_on).to_topic(passed)
    application.run(count=count)  # commits and returns once so many are processed
    print(json.dumps({"seconds": time.time() - first[0]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
