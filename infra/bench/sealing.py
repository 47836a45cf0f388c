"""What sealed texts cost beside the same texts, plain: who sends them, who reads them, and in bytes.

On a broker, with what sends and reads there otherwise: the command line's producer, and what a worker's codec calls.
The master key is one of this run's own.
"""

from __future__ import annotations

import base64
import os
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from itertools import chain, cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from infra.bench.broker import benchmark_broker
from infra.bench.report import Report, new_report
from infra.bench.sealing_keys import People, first_texts, followed, keys_of
from infra.bench.sealing_topic import read_back
from infra.cli.utterance_producer import UtteranceProducer
from schemas.cloudevents import decode_utterance
from schemas.errors import UnavailableError
from schemas.events import Utterance
from schemas.privacy import MASTER_KEY_BYTES, Privacy
from schemas.record_headers import headers_of
from streams.burial import source_of
from streams.clients import admin_client
from streams.privacy.parts import opening
from streams.topics import apply_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from confluent_kafka import Message

    from schemas.settings import Settings
    from streams.privacy.person_keys import PersonKeys

CHARACTERS = (25, 100, 400, 4_000)
PLAIN, SEALED = "plain", "sealed"

_SPEAKERS = 1_000
"""Who say them, in turn; fewer than the keys that a worker keeps unwrapped."""
_SEND_SECONDS = 60.0

_NOTES = (
    (
        "send: processor time of the whole process for a record, from its text until the broker has it, with the Kafka "
        "client's threads and compression. read: that of the thread that decodes, and opens what is sealed."
    ),
    "read_first: each person's first text after the worker's start; where it is sealed, their key is unwrapped for it.",
    "value: the record's value. wire: what a reader receives for it, compressed (lz4), with all that is around it.",
    (
        "first_text: clock time until somebody without a key has a sealed text; the key's transaction is in it, and "
        "nobody else writes keys. follower: a fresh one, until it has read the log to its end; what Python holds then."
    ),
)

Measures = defaultdict[str, list[float]]


def bench_sealing(
    settings: Settings, texts: Sequence[str], *, records: int, people: int, rounds: int, say: Callable[[str], None]
) -> Report:
    """Measure it, round after round.

    Args:
        settings: Of whoever runs it. The broker is an embedded one in a folder of its own: keys are written.
        texts: What is said, one after the other, cut to length.
        records: Of each measurement; as many plain as sealed.
        people: Whose keys stand on the log in the end.
        rounds: Of everything but the followers.
        say: Told what is being done.

    Raises:
        UnavailableError: The broker could not be run, or did not take what was sent.
        InvalidSettingsError: The extra `privacy` is not installed.
    """
    begun, found = time.time(), Measures(list)
    with benchmark_broker(settings, say, own=True) as there, _sealing(there) as ours:
        apply_topics(admin_client(ours), ours.topics)
        with keys_of(ours) as keys:
            everybody = People(keys)
            everybody.grow(_SPEAKERS)
            _follow(ours, everybody, found, say)
            _rounds(ours, everybody, texts, records=records, rounds=rounds, found=found, say=say)
            say(f"giving {people:,} people a key")
            everybody.grow(people)
            _follow(ours, everybody, found, say)
    return new_report(
        "bench sealing",
        begun=begun,
        settings={"texts": len(texts), "records": records, "people": people, "rounds": rounds},
        measures=found,
        ratios={
            f"{what.partition('_')[0]}_sealed_vs_plain_at_{characters}": (
                _measure(what, SEALED, characters),
                _measure(what, PLAIN, characters),
            )
            for what in ("send_us", "read_us", "value_bytes", "wire_bytes")
            for characters in CHARACTERS
        },
        notes=_NOTES,
    )


@contextmanager
def _sealing(settings: Settings) -> Iterator[Settings]:
    """Yield settings of somebody who seals, and reads back in the order in which they sent."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "master.key"
        file.write_bytes(base64.b64encode(os.urandom(MASTER_KEY_BYTES)))
        topics = settings.topics.model_copy(update={"partitions": 1})
        yield settings.model_copy(update={"privacy": Privacy(master_key_file=file), "topics": topics})


def _follow(settings: Settings, everybody: People, found: Measures, say: Callable[[str], None]) -> None:
    say(f"following the keys of {everybody.count:,} people")
    for name, value in followed(settings)._asdict().items():
        found[f"follower_{name}_at_{everybody.count}_people"].append(value)


def _rounds(
    settings: Settings,
    everybody: People,
    texts: Sequence[str],
    *,
    records: int,
    rounds: int,
    found: Measures,
    say: Callable[[str], None],
) -> None:
    said = {characters: _utterances(texts, characters, records) for characters in CHARACTERS}
    senders = {
        PLAIN: UtteranceProducer(settings, timeout_seconds=_SEND_SECONDS),
        SEALED: UtteranceProducer(settings, timeout_seconds=_SEND_SECONDS, keys=everybody.keys),
    }
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}" if number else "warming up")
        heard = found if number else Measures(list)
        for characters, utterances in said.items():
            for side, sender in senders.items():
                for what, value in _cost(settings, sender, utterances).items():
                    heard[_measure(what, side, characters)].append(value)
        for name, milliseconds in first_texts(everybody, texts[number % len(texts)]).items():
            heard[name].append(milliseconds)


def _measure(what: str, side: str, characters: int) -> str:
    name, _, unit = what.rpartition("_")
    return f"{name}_{side}_{unit}_at_{characters}"


def _utterances(texts: Sequence[str], characters: int, count: int) -> list[Utterance]:
    """Return utterances of so many characters each: pieces of all that is said, so that none compresses to nothing."""
    letters = chain.from_iterable(f"{text} " for text in cycle(texts))
    return [
        Utterance(text="".join(islice(letters, characters)), id=str(number), user_id=People.name(number % _SPEAKERS))
        for number in range(count)
    ]


def _cost(settings: Settings, sender: UtteranceProducer, utterances: Sequence[Utterance]) -> dict[str, float]:
    """Send utterances, read them as a worker that has just started, and once more; return what a record costs."""
    send_us = _sent(sender, utterances)
    records, received = read_back(settings, last=len(utterances))
    with keys_of(settings) as worker:
        return {
            "send_us": send_us,
            "read_first_us": _read(records[:_SPEAKERS], worker),
            "read_us": _read(records, worker),
            "value_bytes": sum(len(record.value() or b"") for record in records) / len(records),
            "wire_bytes": received / len(records),
        }


def _sent(sender: UtteranceProducer, utterances: Sequence[Utterance]) -> float:
    """Return the microseconds of a record.

    Raises:
        UnavailableError: The broker did not take all of them.
    """
    before, begun = sender.delivered, time.process_time()
    for utterance in utterances:
        sender.publish(utterance)
    sender.finish()
    used = time.process_time() - begun
    if sender.delivered - before != len(utterances):
        raise UnavailableError("The broker did not take all of the benchmark's utterances; the run is void.")
    return 1e6 * used / len(utterances)


def _read(records: Sequence[Message], keys: PersonKeys) -> float:
    """Return the microseconds of a record, read as a worker's codec does."""
    begun = time.thread_time()
    open_text = opening(keys)
    for record in records:
        decode_utterance(
            record.value(),
            headers_of(record),
            source_of(record),
            max_text_characters=max(CHARACTERS),
            open_text=open_text,
        )
    return 1e6 * (time.thread_time() - begun) / len(records)
