"""Reads utterances from a file of someone else's, line by line: what is good goes on, what is not is named.

A file may be larger than memory and a line larger than it should be; neither is ever held whole.
"""

from __future__ import annotations

import csv
import itertools
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

import msgspec

from schemas.cloudevents import json_fault
from schemas.errors import InvalidEventError
from schemas.events import Utterance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Format = Literal["lines", "jsonl", "csv"]

MAX_LINE_BYTES = 1_048_576
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COLUMNS = ("text", "id", "user_id", "conversation_id", "locale")

_utterances = msgspec.json.Decoder(Utterance)


class Fault(NamedTuple):
    """A line that holds no utterance."""

    line: int
    reason: str


def read_utterances(source: BinaryIO, form: Format, *, max_text_characters: int) -> Iterator[Utterance | Fault]:
    """Yield an utterance or a fault for each line that is not blank.

    Args:
        source: The file.
        form: `lines`: a text a line. `jsonl`: an object a line with at least `text`. `csv`: a header with a column
            `text`; `id`, `user_id`, `conversation_id` and `locale` are read, too, others passed over.
        max_text_characters: The longest text that will be accepted.

    Raises:
        InvalidEventError: A CSV file without a column `text`.
    """
    for found in _READERS[form](source):
        if isinstance(found, Fault):
            yield found
            continue
        line, utterance = found
        if len(utterance.text) > max_text_characters:
            reason = f"the text has {len(utterance.text)} characters; at most {max_text_characters} are accepted"
            yield Fault(line, reason)
        elif utterance.text.isspace() or not utterance.text:
            yield Fault(line, "the text is empty")
        else:
            yield utterance


def guess_format(name: str, beginning: bytes) -> Format:
    """Return a file's format by its name, else by how it begins."""
    ending = name.rpartition(".")[2].lower()
    if ending in {"jsonl", "ndjson"}:
        return "jsonl"
    if ending == "csv":
        return "csv"
    return "jsonl" if beginning.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"{") else "lines"


def _read_lines(source: BinaryIO) -> Iterator[tuple[int, Utterance] | Fault]:
    for number, line in _lines(source):
        if isinstance(line, Fault):
            yield line
            continue
        try:
            yield number, Utterance(text=line.decode().strip())
        except UnicodeDecodeError as error:
            yield Fault(number, f"byte {error.start} is not UTF-8")


def _read_jsonl(source: BinaryIO) -> Iterator[tuple[int, Utterance] | Fault]:
    for number, line in _lines(source):
        if isinstance(line, Fault):
            yield line
            continue
        try:
            yield number, _utterances.decode(line)
        except msgspec.DecodeError as error:
            yield Fault(number, json_fault(line, error))
        except UnicodeDecodeError as error:
            yield Fault(number, f"byte {error.start} of a text is not UTF-8")
        except RecursionError:
            yield Fault(number, "it is nested too deeply")


def _read_csv(source: BinaryIO) -> Iterator[tuple[int, Utterance] | Fault]:
    overlong: list[Fault] = []
    rows = csv.reader(_decoded(source, overlong.append))
    header = [name.strip().lower() for name in next(rows, [])]
    if "text" not in header:
        raise InvalidEventError("no_text", "The first line of a CSV file names its columns; none of them is `text`.")
    places = {name: header.index(name) for name in _COLUMNS if name in header}
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Fault(rows.line_num, str(error))
            continue
        yield from overlong
        overlong.clear()
        if row is None:
            return
        if row:
            yield _from_row(row, places, rows.line_num)


def _from_row(row: list[str], places: dict[str, int], line: int) -> tuple[int, Utterance] | Fault:
    fields = {name: row[place] for name, place in places.items() if place < len(row) and row[place]}
    if any("\udc80" <= character <= "\udcff" for value in fields.values() for character in value):
        return Fault(line, "a field is not UTF-8")
    try:
        return line, msgspec.convert(fields, Utterance)
    except msgspec.ValidationError as error:
        return Fault(line, str(error))


def _decoded(source: BinaryIO, report: Callable[[Fault], None]) -> Iterator[str]:
    """Yield lines for the CSV reader; bytes that are not UTF-8 become lone surrogates, found again in their field."""
    for _, line in _lines(source, blank=True):
        if isinstance(line, Fault):
            report(line)
        else:
            yield line.decode(errors="surrogateescape")


def _lines(source: BinaryIO, *, blank: bool = False) -> Iterator[tuple[int, bytes | Fault]]:
    """Yield each line with its number; one that is too long is a fault, and read past, not in."""
    for number in itertools.count(1):
        line = source.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = source.readline(MAX_LINE_BYTES)
            yield number, Fault(number, f"the line is longer than {MAX_LINE_BYTES} bytes")
        elif blank or not line.isspace():
            yield number, line


_READERS: dict[Format, Callable[[BinaryIO], Iterator[tuple[int, Utterance] | Fault]]] = {
    "lines": _read_lines,
    "jsonl": _read_jsonl,
    "csv": _read_csv,
}
