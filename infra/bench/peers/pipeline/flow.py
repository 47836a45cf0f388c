"""Bytewax with our classifier, which is given whole batches, as its documentation shows it.

Takes BROKER, SOURCE, SINK and GROUP; says `ready` once the models are loaded, and runs until it is ended.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import bytewax.operators as op  # type: ignore[import-not-found]  # of the peer's environment
from bytewax.connectors.kafka import KafkaSinkMessage  # type: ignore[import-not-found]  # of the peer's environment
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]  # of the peer's environment
from bytewax.run import cli_main  # type: ignore[import-not-found]  # of the peer's environment
from confluent_kafka import OFFSET_STORED
from library import Library  # type: ignore[import-not-found]  # beside this script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bytewax.connectors.kafka import KafkaSourceMessage

_BATCH = 512


def main(broker: str, source: str, sink: str, group: str) -> None:
    """Answer for as long as we run."""
    library = Library()

    def answer(records: Sequence[KafkaSourceMessage]) -> list[KafkaSinkMessage]:
        answers = library.answer([record.value for record in records])
        return [KafkaSinkMessage(record.key, value) for record, value in zip(records, answers, strict=True)]

    flow = Dataflow("pipeline")
    said = kafka.input(
        "said",
        flow,
        brokers=[broker],
        topics=[source],
        starting_offset=OFFSET_STORED,
        add_config={"group.id": group},
        batch_size=_BATCH,
    )
    answered = op.flat_map_batch("answer", said.oks, answer)
    kafka.output("answered", answered, brokers=[broker], topic=sink)
    print("ready", flush=True)
    cli_main(flow)


if __name__ == "__main__":
    main(*sys.argv[1:])
