"""What the releases' log says: which release of each model is to serve, and which there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from schemas.errors import IntentStreamError
from schemas.events import ModelRelease

if TYPE_CHECKING:
    from collections.abc import Mapping

_decoder = msgspec.json.Decoder(ModelRelease)


class UnknownReleaseError(IntentStreamError):
    """The log has no such release; the message names those that there are."""

    code = "unknown_release"
    http_status = 404
    exit_code = 64


class InvalidReleaseRecordError(IntentStreamError):
    """A record of the log that is no release. It changes nothing."""

    code = "invalid_release_record"
    http_status = 422
    exit_code = 65


def key_of(record: ModelRelease) -> bytes:
    """Return the key that a record must have: compaction keeps the last of each."""
    return (record.name if record.state == "serving" else f"{record.name}/{record.release}").encode()


class ReleaseLog:
    """The log, folded.

    Attributes:
        serving: What is to serve, by model.
        revision: The newest.
    """

    def __init__(self) -> None:
        self.serving: Mapping[str, ModelRelease] = {}
        self.revision = 0
        self._pushed: dict[str, ModelRelease] = {}

    def apply(self, key: bytes | None, value: bytes | None) -> ModelRelease | None:
        """Take the next record, and return it; None where it takes one away.

        Raises:
            InvalidReleaseRecordError: It is none; nothing has changed.
        """
        name = (key or b"").decode(errors="replace")
        if value is None:
            self._pushed.pop(name, None)
            self.serving = {model: record for model, record in self.serving.items() if model != name}
            return None
        try:
            record = _decoder.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidReleaseRecordError(f"it is no release: {error}") from error
        if key_of(record) != key:
            raise InvalidReleaseRecordError("its key is another release's")
        self.revision = max(self.revision, record.revision)
        if record.state == "serving":
            self.serving = {**self.serving, record.name: record}
        else:
            self._pushed[name] = record
        return record

    def pushed(self, model: str | None = None) -> list[ModelRelease]:
        """Return what was pushed, of one model or of all, the latest last."""
        records = [record for record in self._pushed.values() if model in {None, record.name}]
        return sorted(records, key=lambda record: record.revision)

    def find(self, model: str, release: str) -> ModelRelease:
        """Return what was pushed by a release's name.

        Raises:
            UnknownReleaseError: Nothing was.
        """
        record = self._pushed.get(f"{model}/{release}")
        if record is None:
            there = ", ".join(record.release for record in self.pushed(model)) or "none"
            raise UnknownReleaseError(f"There is no release {release} of {model}; there are: {there}.")
        return record
