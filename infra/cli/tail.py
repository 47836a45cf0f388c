"""`intentstream tail`: what arrives on a topic, as an onlooker sees it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from schemas.deadletter import parse_dead_letter
from schemas.events import Result
from schemas.record_headers import headers_of
from streams.burial import source_of
from streams.reader import TopicReader
from streams.topics import DEAD_LETTERS, FEEDBACK, RESULTS, UTTERANCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

TOPICS = {"results": RESULTS, "feedback": FEEDBACK, "deadletter": DEAD_LETTERS, "utterances": UTTERANCES}
_POLL_SECONDS = 0.2


@click.command
@click.argument("topic", type=click.Choice(list(TOPICS)))
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest record, not with the next.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option("--show-value", is_flag=True, help="Show what users wrote, too.")
@json_option
def command(
    *,
    topic: Literal["results", "feedback", "deadletter", "utterances"],
    from_beginning: bool,
    limit: int | None,
    show_value: bool,
    as_json: bool,
) -> None:
    """Show what arrives on a topic.

    Until Ctrl-C or the limit, and only what is committed; no consumer group is joined. What users wrote stays hidden
    unless asked for.
    """
    settings = begin()
    with TopicReader(settings, [TOPICS[topic]], start="beginning" if from_beginning else "end") as reader:
        for record in itertools.islice(_arriving(reader), limit):
            shown = describe_record(record, show_value=show_value)
            if as_json:
                print_json(shown)
            else:
                click.echo(_line(shown))


def describe_record(record: Message, *, show_value: bool) -> dict[str, Any]:
    """Return a record for a program: where and when it stands, what kind it is, and its event.

    Args:
        record: Of one of the topics that can be followed.
        show_value: Whether to include what a user wrote.
    """
    source, headers = source_of(record), dict(headers_of(record) or ())
    shown: dict[str, Any] = {
        "topic": source.topic,
        "partition": source.partition,
        "offset": source.offset,
        "time": datetime.fromtimestamp(record.timestamp()[1] / 1000, UTC).isoformat(timespec="milliseconds"),
        "type": (headers.get("ce_type") or b"").decode(errors="replace") or None,
        "id": (headers.get("ce_id") or b"").decode(errors="replace") or None,
        "bytes": len(record.value() or b""),
    }
    if source.topic == DEAD_LETTERS:
        shown |= _dead_letter(record, show_value=show_value)
    elif source.topic != UTTERANCES or show_value:
        shown["event"] = _event(record.value(), show_value=show_value)
    return shown


def _arriving(reader: TopicReader) -> Iterator[Message]:
    while True:
        yield from reader.read(_POLL_SECONDS)


def _event(value: bytes | None, *, show_value: bool) -> Any:
    """Return an event as it was written, without its text; None if it is no JSON."""
    try:
        event = msgspec.json.decode(value or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(event, dict) and not show_value:
        event.pop("text", None)
    return event


def _dead_letter(record: Message, *, show_value: bool) -> dict[str, Any]:
    letter = parse_dead_letter(source_of(record), record.key(), record.value(), headers_of(record))
    shown = {"code": letter.code, "reason": letter.reason, "source": letter.source, "failed_at": letter.failed_at}
    return {**shown, "key": letter.key, "value": letter.value} if show_value else shown


def _line(shown: dict[str, Any]) -> str:
    """Return a record for a person."""
    place = f"{shown['partition']}/{shown['offset']}"
    beginning = f"{shown['time'][11:23]}  {place:<12}"
    if "code" in shown:
        return f"{beginning}  {shown['code']:<20}  {shown['reason']}  from {shown['source'] or 'somewhere unknown'}"
    if shown["topic"] == RESULTS:
        return f"{beginning}  {_answer(shown['event'])}"
    rest = msgspec.json.encode(shown["event"]).decode() if "event" in shown else f"{shown['bytes']} bytes"
    return f"{beginning}  {shown['type'] or 'no type'}  {shown['id'] or 'no id'}  {rest}"


def _answer(event: Any) -> str:
    try:
        result = msgspec.convert(event, Result)
    except msgspec.ValidationError as error:
        return f"no result: {error}"
    notes = "".join(f", {note}" for note in ("degraded", "cached") if getattr(result, note))
    intent = result.intent or "(out of scope)"
    return f"{intent:<28}  {result.confidence:.2f}  {result.tier}{notes}  {result.utterance_id}"
