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


class TrialError(IntentStreamError):
    """A release that cannot be tried as things stand; the message says why. Nothing was written."""

    code = "no_trial"
    http_status = 409
    exit_code = 75


class InvalidReleaseRecordError(IntentStreamError):
    """A record of the log that is no release. It changes nothing."""

    code = "invalid_release_record"
    http_status = 422
    exit_code = 65


def key_of(record: ModelRelease) -> bytes:
    """Return the key that a record must have: compaction keeps the last of each."""
    return (record.name if record.state == "serving" else f"{record.name}/{record.release}").encode()


def began_revision(record: ModelRelease) -> int:
    """Return the log's revision when a release's trial began.

    Raises:
        TrialError: It was never tried.
    """
    if record.trial is None:
        raise TrialError(f"The release {record.release} of {record.name} is not tried.")
    return record.trial.began_revision or record.revision


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

    @property
    def trial(self) -> ModelRelease | None:
        """Return the release that is tried beside those that serve, if one is; its `trial` says how far it is.

        A trial is a comparison with what serves: whatever came to serve since it began has ended it.
        """
        latest = self._tried_last
        return None if latest is None or self._is_overtaken(latest) else latest

    @property
    def overtaken_trial(self) -> ModelRelease | None:
        """Return the release whose trial something else that came to serve has ended, until somebody has noted that."""
        latest = self._tried_last
        return latest if latest is not None and self._is_overtaken(latest) else None

    @property
    def _tried_last(self) -> ModelRelease | None:
        for record in reversed(self.pushed()):
            serving = self.serving.get(record.name)
            serves = serving is not None and serving.release == record.release
            if record.trial is not None and record.trial.stage != "withdrawn" and not serves:
                return record
        return None

    def _is_overtaken(self, record: ModelRelease) -> bool:
        return any(each.revision > began_revision(record) for each in self.serving.values())

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
