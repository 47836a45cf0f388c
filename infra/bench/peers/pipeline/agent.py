"""Faust with our classifier, an agent that takes up to 512 records at once, as its documentation shows it.

With its own Kafka clients (aiokafka) and its default guarantee, at least once: what was sent is flushed before what was
acknowledged is committed. `exactly_once` would promise no more here: faust-streaming 0.15.3 sends outside of its
transactions what goes to a topic that the app does not itself consume.

Takes BROKER, SOURCE, SINK and GROUP; says `ready` once the models are loaded, and runs until it is ended.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import faust
from library import Library  # type: ignore[import-not-found]  # beside this script

if TYPE_CHECKING:
    from faust.types import StreamT

_BATCH = 512
_WITHIN_SECONDS = 0.05


def main(broker: str, source: str, sink: str, group: str) -> None:
    """Answer for as long as we run."""
    library = Library()
    app = faust.App(group, broker=f"kafka://{broker}", web_enabled=False)
    said = app.topic(source, key_type=bytes, value_type=bytes, value_serializer="raw")
    answered = app.topic(sink, key_type=bytes, value_type=bytes, value_serializer="raw")

    @app.agent(said)
    async def answer(stream: StreamT[bytes]) -> None:
        taken = stream.take_events(_BATCH, within=_WITHIN_SECONDS)  # type: ignore[attr-defined]  # the class has it
        async for events in taken:
            answers = await library.answer_from_loop([event.value for event in events])
            for event, value in zip(events, answers, strict=True):
                await answered.send(key=event.key, value=value)

    print("ready", flush=True)
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
