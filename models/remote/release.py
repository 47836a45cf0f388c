"""The folder of the release that a server serves, as it lies on this machine: for what the server does not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.distilbert import LABELS_FILE, TOKENIZER_FILE
from models.labels import Labels
from models.prediction import TierUnavailableError
from models.tokens import TextTokenizer

if TYPE_CHECKING:
    from pathlib import Path

_SETTING = "INTENTSTREAM_REMOTE__RELEASE"


class ServedRelease:
    """Reads what is asked for when it is asked for; blocks while it does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tokenizer: TextTokenizer | None = None

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
        """Return the tokenizer, read once.

        Raises:
            TierUnavailableError: There is none.
        """
        if self._tokenizer is None:
            try:
                self._tokenizer = TextTokenizer(self._folder / TOKENIZER_FILE)
            except Exception as error:  # what tokenizers raises has no type of its own
                raise TierUnavailableError(
                    f"its server takes token ids, and {_SETTING} has no {TOKENIZER_FILE} that can be read"
                ) from error
        return self._tokenizer
