"""What the changelog's records amount to: a pure fold, the same for every follower, writer and onlooker.

A record counts if it makes sense by itself, is newer than all before it, and makes sense beside the other flags. The
last is judged only once the end of the log is reached: compaction may leave a flag before another that it needs.
What does not count leaves the flag as it was, and damaged, until a good record follows whose writer had read it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from flags.evaluation import digest
from flags.validation import find_faults, find_graph_faults
from schemas.events import FlagChange

if TYPE_CHECKING:
    from collections.abc import Mapping

_changes = msgspec.json.Decoder(FlagChange)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAX_KEY_BYTES = 64


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A record that does not count.

    Attributes:
        offset: Where it stands.
        name: The flag it would have changed; None if its key names none.
        code: A stable word for the kind of fault.
        faults: Everything that is wrong with it, a sentence each.
    """

    offset: int
    name: str | None
    code: str
    faults: tuple[str, ...]


class _Pending(msgspec.Struct, frozen=True):
    """A change that makes no sense beside the other flags so far."""

    change: FlagChange
    offset: int
    read_to: int
    refused: bool = False


class Fold:
    """The changelog, folded as far as it was read.

    Attributes:
        revision: Of the newest record that makes sense by itself.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._changes: dict[str, FlagChange] = {}
        self._pending: dict[str, _Pending] = {}
        self._damaged: dict[str, int] = {}  # and where the newest record stands that does not count
        self._strays: dict[bytes, int] = {}  # and where the newest record of each stands

    @property
    def changes(self) -> Mapping[str, FlagChange]:
        """Return every flag's latest good state, deleted ones included. A new mapping after each advance."""
        return self._changes

    @property
    def damaged(self) -> frozenset[str]:
        """Return the flags whose newest record does not count: compaction would leave only that one."""
        return frozenset(self._damaged)

    @property
    def strays(self) -> frozenset[bytes]:
        """Return the keys that name no flag and still have a record: compaction would keep it for ever."""
        return frozenset(self._strays)

    @property
    def pending_offsets(self) -> list[int]:
        """Return where the changes stand that are not taken over so far."""
        return [pending.offset for pending in self._pending.values() if not pending.refused]

    @property
    def digest(self) -> str:
        """Return a hash of the state."""
        return digest(self._changes)

    def apply(
        self, key: bytes | None, value: bytes | None, offset: int, *, read_to: int | None = None
    ) -> Refusal | None:
        """Read one record; return why it does not count, if it can be seen by itself.

        What it says is taken over by the next `advance`. No value under a key that names no flag takes a stray away.

        Args:
            key: The record's.
            value: The record's.
            offset: Where it stands.
            read_to: The first offset that its writer had not read: it mends nothing that stands there or later. None
                means all before it.
        """
        name = flag_name(key)
        read_to = offset if read_to is None else read_to
        if name is None and key is not None and value is None:
            if self._strays.get(key, -1) < read_to:
                self._strays.pop(key, None)
            return None
        try:
            change = read_change(name, value)
        except InvalidRecordError as fault:
            if name is None and key is not None:
                self._strays[key] = offset
            return self._refuse(offset, name, fault.code, fault.faults)
        if change.revision <= self.revision:
            return self._refuse(
                offset, name, "stale_revision", (f"its revision is {change.revision}, after {self.revision}",)
            )
        if name in self._pending:
            self.advance()  # or what it says would depend on how many records were read at once
        self.revision = change.revision
        if self._damaged.get(change.name, -1) < read_to:
            self._damaged.pop(change.name, None)
        self._pending.pop(change.name, None)
        self._pending[change.name] = _Pending(change, offset, read_to)
        return None

    def advance(self) -> None:
        """Take over all that makes sense together; if not all does, one by one, the oldest first."""
        if not self._pending:
            return
        together = {**self._changes, **{name: pending.change for name, pending in self._pending.items()}}
        if not find_graph_faults(together):
            self._accept(together)
            return
        for pending in sorted(self._pending.values(), key=lambda each: each.change.revision):
            candidate = {**self._changes, pending.change.name: pending.change}
            if not find_graph_faults(candidate):
                self._accept(candidate)

    def settle(self) -> list[Refusal]:
        """Advance, and judge at the end of the log what still makes no sense beside the others; each is said once."""
        self.advance()
        refusals = []
        for name, pending in self._pending.items():
            if not pending.refused:
                self._pending[name] = msgspec.structs.replace(pending, refused=True)
                faults = find_graph_faults({**self._changes, name: pending.change})
                said = tuple(fault for those in faults.values() for fault in those)
                refusals.append(self._refuse(pending.offset, name, "invalid_beside_others", said))
        return refusals

    def faults_of(self, change: FlagChange) -> list[str]:
        """Return everything that is wrong with a change that nobody has written yet, and with others because of it."""
        graph = find_graph_faults({**self._changes, change.name: change})
        before = find_graph_faults(self._changes)
        beside = [
            fault if name == change.name else f"{name} would break: {fault}"
            for name, faults in graph.items()
            for fault in faults
            if fault not in before.get(name, ())
        ]
        return [*find_faults(change), *beside]

    def _accept(self, changes: dict[str, FlagChange]) -> None:
        self._changes = changes
        for name, pending in [*self._pending.items()]:
            if changes.get(name) is pending.change:
                del self._pending[name]
                newest = self._damaged.get(name, -1)
                if newest < pending.read_to or newest == pending.offset:
                    self._damaged.pop(name, None)

    def _refuse(self, offset: int, name: str | None, code: str, faults: tuple[str, ...]) -> Refusal:
        if name is not None:
            self._damaged[name] = max(offset, self._damaged.get(name, -1))
        return Refusal(offset=offset, name=name, code=code, faults=faults)


class InvalidRecordError(Exception):
    """A record that makes no sense by itself."""

    def __init__(self, code: str, faults: tuple[str, ...]) -> None:
        super().__init__(code)
        self.code = code
        self.faults = faults


def read_change(name: str | None, value: bytes | None) -> FlagChange:
    """Return a record's change.

    Args:
        name: The flag that its key names, if it names one.
        value: The record's value.

    Raises:
        InvalidRecordError: It makes no sense by itself.
    """
    if name is None:
        raise InvalidRecordError("invalid_key", ("its key is no flag's name",))
    if value is None:
        raise InvalidRecordError("null_value", ("it has no value; a flag is deleted by a record that says so",))
    try:
        change = _changes.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecordError("invalid_schema", (str(error),)) from error
    if change.name != name:
        raise InvalidRecordError("wrong_key", (f"its key is {name} and it is a change of {change.name}",))
    faults = find_faults(change)
    if faults:
        raise InvalidRecordError("invalid_change", tuple(faults))
    return change


def flag_name(key: bytes | None) -> str | None:
    """Return the flag that a record's key names, if it names one."""
    text = key.decode("latin-1") if key is not None and len(key) <= _MAX_KEY_BYTES else ""
    return text if _NAME.fullmatch(text) else None
