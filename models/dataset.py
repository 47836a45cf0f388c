"""A folder of labelled texts, as public data sets are published: JSON lines of `text` and `intent`, a file a split.

`train`, `val` and `test` hold in-scope texts, `oos_train`, `oos_val` and `oos_test` those beyond, `train_5shot` and its
like a few of each intent. Any of them may be missing; what is made up for, and how, stands in the notes.
"""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - msgspec reads it from here
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np

from models.catalogue import Catalogue, Intent
from models.catalogue_source import MAX_TEXT_CHARACTERS
from schemas.errors import InvalidDataSetError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPLITS = ("train", "val", "test", "oos_train", "oos_val", "oos_test")
_SHOTS = re.compile(r"train_(\d+)shot")

_MAX_FILE_BYTES = 512 * 1024 * 1024
_TEST_SHARE = 0.2
_LEAST_TO_HOLD_OUT = 4
"""Texts of an intent; where it has fewer, none of them is taken from training."""


class _Record(msgspec.Struct):
    text: str
    intent: str | None


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """Texts and the intent of each; None is out of scope."""

    texts: tuple[str, ...] = ()
    intents: tuple[str | None, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def __add__(self, other: Labelled) -> Self:
        return type(self)(texts=self.texts + other.texts, intents=self.intents + other.intents)

    def only(self, rows: Sequence[int]) -> Self:
        """Return those of some rows."""
        return type(self)(
            texts=tuple(self.texts[row] for row in rows), intents=tuple(self.intents[row] for row in rows)
        )

    def columns(self, labels: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """Return each text's column among the labels, shape (texts,); out of scope and unknown ones are last."""
        known = {label: column for column, label in enumerate(labels)}
        return np.array(
            [len(labels) if intent is None else known.get(intent, len(labels)) for intent in self.intents], np.intp
        )


class DataSet(msgspec.Struct, frozen=True, kw_only=True):
    """What to learn from and what to be judged by.

    Attributes:
        name: The folder's.
        labels: Every intent that is to be told apart.
        train: Of what the catalogue is made.
        test: What nothing is fitted on.
        folder: Where `models.training.corpus.read_corpus` finds what to fit thresholds by; None: among `train`.
        unlabelled: Texts without their labels, as traffic would bring them.
        notes: What a reader of its results must know.
    """

    name: str
    labels: tuple[str, ...]
    train: Labelled
    test: Labelled
    folder: Path | None = None
    unlabelled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def catalogue(self) -> Catalogue:
        """Return the catalogue that the training texts make."""
        said: dict[str, list[str]] = {label: [] for label in self.labels}
        beyond: list[str] = []
        for text, intent in zip(self.train.texts, self.train.intents, strict=True):
            (beyond if intent is None else said[intent]).append(text)
        intents = tuple(Intent(name=label, examples=tuple(texts)) for label, texts in said.items())
        return Catalogue(name=self.name, intents=intents, out_of_scope=tuple(beyond))


def load_data_set(folder: Path, *, shots: int | None = None, seed: int = 0) -> DataSet:
    """Read a folder, and make up for what it lacks.

    Args:
        folder: Holds `*.jsonl`.
        shots: So many examples of each intent, and no more, are learnt from: those of `train_{shots}shot.jsonl`, or
            where that is missing some drawn from `train.jsonl`. 0: none, only the intents' names. None: all.
        seed: Of what is drawn and held out.

    Raises:
        InvalidDataSetError: There is nothing to read, a line is no record, or no intent is left to tell from another.
    """
    if not folder.is_dir():
        raise InvalidDataSetError(f"{folder} is no folder; name one that holds train.jsonl and test.jsonl.")
    files = {file.stem: file for file in sorted(folder.glob("*.jsonl"))}
    splits = {name: _read(file) for name, file in files.items() if name in _SPLITS or _SHOTS.fullmatch(name)}
    if not any(len(splits.get(name, ())) for name in ("train", "test") if name in splits):
        raise InvalidDataSetError(
            f"{folder} holds neither train.jsonl nor test.jsonl with a text in it; write one JSON object a line, "
            '{"text": "…", "intent": "…"}.'
        )
    return _Splitting(folder, splits, np.random.default_rng(seed)).result(shots)


def _read(file: Path) -> Labelled:
    if file.stat().st_size > _MAX_FILE_BYTES:
        raise InvalidDataSetError(f"{file} is larger than {_MAX_FILE_BYTES >> 20} MiB; use a sample of it.")
    decoder = msgspec.json.Decoder(_Record)
    texts, intents = [], []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidDataSetError(
                f'{file}:{number}: {error}; each line is an object {{"text": "…", "intent": "…" or null}}.'
            ) from error
        if not record.text.strip() or len(record.text) > MAX_TEXT_CHARACTERS:
            raise InvalidDataSetError(
                f"{file}:{number}: the text is empty or longer than {MAX_TEXT_CHARACTERS} characters; "
                "mend or remove the line."
            )
        texts.append(record.text)
        intents.append(None if file.stem.startswith("oos_") else record.intent)
    return Labelled(texts=tuple(texts), intents=tuple(intents))


class _Splitting:
    """Makes the three parts of whatever is there."""

    def __init__(self, folder: Path, splits: dict[str, Labelled], generator: np.random.Generator) -> None:
        self._folder = folder
        self._splits = splits
        self._generator = generator
        self._notes: list[str] = []

    def result(self, shots: int | None) -> DataSet:
        train, test = self._part("train"), self._part("test")
        if not test.texts:
            train, test = self._hold_out(train, _TEST_SHARE)
            self._note(f"No test.jsonl: {len(test):,} texts of train.jsonl were held out as test.")
        said = {intent for part in (train, test, self._part("val")) for intent in part.intents}
        labels = tuple(sorted(intent for intent in said if intent is not None))
        if len(labels) < 2:  # noqa: PLR2004 - or there is nothing to tell apart
            raise InvalidDataSetError(f"{self._folder} has {len(labels)} intents; there must be two to tell apart.")
        unlabelled: tuple[str, ...] = ()
        if shots is not None:
            unlabelled, train = train.texts, self._few(train, shots)
        elif "val" not in self._splits and train.texts:
            self._note("No val.jsonl: thresholds are fitted on a tenth of train.jsonl, by models trained on the rest.")
        if not train.texts and shots != 0:
            self._note("No train.jsonl: only the intents' names are learnt from.")
        if None not in test.intents:
            self._note("No out-of-scope texts to test: oos_auroc and oos_recall are left out.")
        if None not in (*train.intents, *self._part("val").intents):
            self._note("No out-of-scope texts to learn from: intents left out of training stand for them.")
        return DataSet(
            name=self._folder.resolve().name,
            labels=labels,
            train=train,
            test=test,
            folder=self._folder if shots is None and {"train", "test"} <= self._splits.keys() else None,
            unlabelled=unlabelled,
            notes=tuple(self._notes),
        )

    def _part(self, name: str) -> Labelled:
        return self._splits.get(name, Labelled()) + self._splits.get(f"oos_{name}", Labelled())

    def _few(self, train: Labelled, shots: int) -> Labelled:
        if shots and f"train_{shots}shot" in self._splits:
            return self._splits[f"train_{shots}shot"]
        drawn = self._members(train)
        rows = [row for members in drawn.values() for row in sorted(members[:shots])]
        if shots:
            self._note(f"No train_{shots}shot.jsonl: {shots} examples an intent were drawn from train.jsonl.")
        return train.only(rows)

    def _hold_out(self, whole: Labelled, share: float) -> tuple[Labelled, Labelled]:
        """Return the rest and, of each intent that has enough, a share."""
        out = {
            row
            for members in self._members(whole).values()
            if len(members) >= _LEAST_TO_HOLD_OUT
            for row in members[: max(1, round(share * len(members)))]
        }
        return (
            whole.only([row for row in range(len(whole)) if row not in out]),
            whole.only(sorted(out)),
        )

    def _members(self, whole: Labelled) -> dict[str, list[int]]:
        """Return each intent's rows in an order of chance."""
        members: dict[str, list[int]] = {}
        for row in self._generator.permutation(len(whole)).tolist():
            intent = whole.intents[row]
            if intent is not None:
                members.setdefault(intent, []).append(row)
        return members

    def _note(self, text: str) -> None:
        self._notes.append(text)
