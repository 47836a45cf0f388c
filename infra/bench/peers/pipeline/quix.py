"""Quix Streams with our classifier, exactly once, a function for each record as its documentation shows it.

Takes BROKER, SOURCE, SINK and GROUP; says `ready` once the models are loaded, and runs until it is ended.
"""

from __future__ import annotations

import sys

from library import Library  # type: ignore[import-not-found]  # beside this script
from quixstreams import Application


def main(broker: str, source: str, sink: str, group: str) -> None:
    """Answer for as long as we run."""
    library = Library()
    application = Application(
        broker_address=broker,
        consumer_group=group,
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="WARNING",
    )
    said = application.topic(source, key_deserializer="bytes", value_deserializer="bytes")
    answered = application.topic(sink, key_serializer="bytes", value_serializer="bytes")
    application.dataframe(said).apply(lambda value: library.answer([value])[0]).to_topic(answered)
    print("ready", flush=True)
    application.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
