"""The folder of the release that a server serves, as it lies on this machine: for what the server does not tell.

Where it can be known to be the served release, its lexical classifier has its say as it would in this process, and its
golden logits are what the server is put to the test with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from safetensors.numpy import load_file

from models.artefacts import sha256_of
from models.distilbert import FP32_FILE, GOLDEN_FILE, LABELS_FILE, MODEL_FILE, TOKENIZER_FILE, Verdict
from models.labels import Labels
from models.prediction import TierUnavailableError
from models.tokens import TextTokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

_SETTING = "INTENTSTREAM_REMOTE__RELEASE"
_DIGITS = 12

_Stamps = tuple[tuple[str, int, int], ...]


def release_digest(graph: Path) -> str:
    """Return what a release is called by its graph: 12 hex digits of the file's SHA-256."""
    return sha256_of(graph)[:_DIGITS]


class Known(NamedTuple):
    """What is known here of a served model."""

    verdict: Verdict
    """What becomes of its logits."""
    golden: npt.NDArray[np.float32] | None
    """What its logits should be for `models.encoder.GOLDEN_SENTENCES`; None where that is not known."""


class ServedRelease:
    """Reads what is asked for when it is asked for, and again when the folder has changed; blocks while it does."""

    def __init__(self, folder: Path, labels: Sequence[str]) -> None:
        """Take where to look.

        Args:
            folder: Of the release; need not be there.
            labels: The catalogue's intents, in the order of the tiers' columns.
        """
        self._folder = folder
        self._labels = tuple(labels)
        self._digests: tuple[_Stamps, tuple[str, ...]] = ((), ())
        self._known: tuple[tuple[Labels, bool, _Stamps], Known] | None = None
        self._tokenizer: tuple[_Stamps, TextTokenizer] | None = None

    def labels(self) -> Labels:
        """Return what the logits stand for.

        Raises:
            TierUnavailableError: The folder does not say.
        """
        try:
            return msgspec.json.decode((self._folder / LABELS_FILE).read_bytes(), type=Labels)
        except (OSError, msgspec.DecodeError) as error:
            raise TierUnavailableError(
                f"its server does not tell its labels, and {_SETTING} has no {LABELS_FILE} that can be read"
            ) from error

    def tokenizer(self) -> TextTokenizer:
        """Return the tokenizer.

        Raises:
            TierUnavailableError: There is none.
        """
        stamps = self._stamps(TOKENIZER_FILE)
        if self._tokenizer is None or self._tokenizer[0] != stamps:
            try:
                self._tokenizer = stamps, TextTokenizer(self._folder / TOKENIZER_FILE)
            except Exception as error:  # what tokenizers raises has no type of its own
                raise TierUnavailableError(
                    f"its server takes token ids, and {_SETTING} has no {TOKENIZER_FILE} that can be read"
                ) from error
        return self._tokenizer[1]

    def digests(self) -> tuple[str, ...]:
        """Return what a server may call this release: the digests of its graphs, int8 and fp32."""
        stamps = self._stamps(MODEL_FILE, FP32_FILE)
        if self._digests[0] != stamps:
            self._digests = stamps, tuple(release_digest(self._folder / name) for name, *_ in stamps)
        return self._digests[1]

    def known(self, told: Labels, release: str | None) -> Known:
        """Return what is known of a model; the same object as long as that is the same.

        Args:
            told: What its logits stand for.
            release: What the server calls the release, if it tells.

        Raises:
            TierUnavailableError: It was trained for another catalogue, or the folder is damaged.
        """
        ours = release is not None and release in self.digests()
        key = told, ours, self._stamps(LABELS_FILE, GOLDEN_FILE, MODEL_FILE)
        if self._known is None or self._known[0] != key:
            self._known = key, self._read(told, ours=ours)
        return self._known[1]

    def _read(self, told: Labels, *, ours: bool) -> Known:
        golden = self._folder / GOLDEN_FILE
        try:
            return Known(
                Verdict(told, self._labels, self._folder if ours else None),
                load_file(golden)["logits"] if ours and golden.is_file() else None,
            )
        except TierUnavailableError:
            raise
        except Exception as error:  # files may be damaged in ways that each library has a type of its own for
            raise TierUnavailableError(f"the release in {_SETTING} is damaged ({type(error).__name__})") from error

    def _stamps(self, *names: str) -> _Stamps:
        """Return which of these files there are, each with its time and size."""
        files = {name: self._folder / name for name in names}
        found = {name: file.stat() for name, file in files.items() if file.is_file()}
        return tuple((name, status.st_mtime_ns, status.st_size) for name, status in found.items())
