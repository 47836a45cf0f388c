"""Labelled texts from a folder, beside what the catalogue says: what fine-tuning learns from and is judged by.

The folder holds JSON lines, `{"text": …, "intent": …}`, in `train.jsonl`, and if there are any in `val.jsonl` and
`test.jsonl`. An intent of null is out-of-scope; such texts may also stand in `oos_train.jsonl` and so on.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from models.text import normalise
from models.training.examples import Examples, examples_of
from schemas.errors import IntentStreamError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from models.catalogue import Catalogue

_HELD_OUT_SHARE = 0.1
_HELD_OUT_MOST = 2_000
"""More tells little more, and is missed in training."""

_FEWEST_TO_SPARE = 3
"""A class with fewer texts keeps them all."""

_FAULTS_SHOWN = 20


class InvalidCorpusError(IntentStreamError):
    """A folder of labelled texts that cannot be learnt from; each fault with its file and line."""

    code = "invalid_corpus"
    http_status = 422
    exit_code = 65


class Corpus(NamedTuple):
    """What to learn from, what to choose by, and what to report on. The last class is out-of-scope."""

    train: Examples
    validation: Examples
    test: Examples | None
    digest: str
    """SHA-256, in hex, of all of it."""

    @property
    def all_but_test(self) -> Examples:
        """Return all that may be learnt once there is nothing left to choose."""
        both = _joined(self.train, self.validation)
        return both if self.test is None else _without(both, set(self.test.texts))


class _Line(msgspec.Struct, frozen=True):
    text: str
    intent: str | None


def read_corpus(catalogue: Catalogue, folder: Path | None) -> Corpus:
    """Join the catalogue's examples with a folder's.

    Without a `val.jsonl`, a tenth of each class's texts is held out, the same ones each time.

    Args:
        catalogue: Whose intents the texts may have.
        folder: Where the files lie; None: the catalogue's examples are all there is.

    Raises:
        InvalidCorpusError: Lines that cannot be read, intents that the catalogue does not know, or nothing to learn.
    """
    reader = _Reader(catalogue)
    train, validation, test = (reader.split(folder, name) for name in ("train", "val", "test"))
    if reader.faults:
        more = len(reader.faults) - _FAULTS_SHOWN
        shown = reader.faults[:_FAULTS_SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise InvalidCorpusError("\n".join(shown))
    if folder is not None and not len(train.texts):
        raise InvalidCorpusError(f"{folder}: there is no train.jsonl with texts in it")
    train = _joined(examples_of(catalogue), train)
    if not len(validation.texts):
        train, validation = _held_out(train)
    return Corpus(
        train=_without(train, {*validation.texts, *test.texts}),
        validation=validation,
        test=test if len(test.texts) else None,
        digest=_digest(train, validation, test),
    )


class _Reader:
    """Reads files and collects what is wrong with them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._classes: dict[str | None, int] = {label: place for place, label in enumerate((*catalogue.labels, None))}
        self.faults: list[str] = []

    def split(self, folder: Path | None, name: str) -> Examples:
        texts: list[str] = []
        truth: list[int] = []
        for file in (folder / f"{name}.jsonl", folder / f"oos_{name}.jsonl") if folder else ():
            if not file.is_file():
                continue
            for number, line in enumerate(file.read_bytes().splitlines(), start=1):
                if line.strip() and (read := self._line(line, f"{file}:{number}")):
                    texts.append(read[0])
                    truth.append(read[1])
        return Examples(texts, np.array(truth, np.intp), len(self._classes))

    def _line(self, line: bytes, place: str) -> tuple[str, int] | None:
        try:
            read = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError as error:
            self.faults.append(f"{place}: {error}")
            return None
        if read.intent not in self._classes:
            self.faults.append(f"{place}: the catalogue has no intent `{read.intent}`; add it there")
            return None
        text = normalise(read.text)
        return (text, self._classes[read.intent]) if text else None


def _joined(first: Examples, second: Examples) -> Examples:
    """Return both, each text of a class once."""
    pairs = dict.fromkeys(zip((*first.texts, *second.texts), (*first.truth, *second.truth), strict=True))
    return Examples([text for text, _ in pairs], np.array([truth for _, truth in pairs], np.intp), first.classes)


def _without(examples: Examples, known: set[str]) -> Examples:
    """Leave out what it will be judged by."""
    return examples.only(np.array([text not in known for text in examples.texts]))


def _held_out(examples: Examples) -> tuple[Examples, Examples]:
    """Deal a share of each class to validation, at least one text where the class can spare it.

    A text's hash decides, so that whoever has the same texts holds out the same, in whatever order they came: a release
    must not be calibrated on what it was trained on.
    """
    share = min(_HELD_OUT_SHARE, _HELD_OUT_MOST / len(examples.texts))
    lots = np.array([hashlib.sha256(text.encode()).digest()[:8] for text in examples.texts])
    out: npt.NDArray[np.bool_] = np.zeros(len(examples.texts), np.bool_)
    for each in np.unique(examples.truth):
        members = np.flatnonzero(examples.truth == each)
        if len(members) >= _FEWEST_TO_SPARE:
            out[members[np.argsort(lots[members])][: max(1, round(share * len(members)))]] = True
    if not out.any():
        raise InvalidCorpusError(f"no intent has {_FEWEST_TO_SPARE} texts or more: too few to learn and to check by")
    return examples.only(~out), examples.only(out)


def _digest(*parts: Examples) -> str:
    content = [(list(part.texts), part.truth.tolist()) for part in parts]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
