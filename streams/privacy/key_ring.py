"""Every person's key as the keys' log tells it, in as little memory as may be: a worker may know a million people."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from schemas.errors import InvalidEventError
from schemas.events import PersonKey
from streams.privacy.sealing import NAME_BYTES, KeyId, parse_key_id

if TYPE_CHECKING:
    from streams.privacy.sealing import MasterKey, PersonalKey, Sealed

_OPENED = 10_000
_GENERATION_BYTES = 4

_decoder = msgspec.json.Decoder(PersonKey)


def read_key_record(key: bytes | str | None, value: bytes | str | None) -> tuple[bytes, PersonKey | None]:
    """Return whose key a record of the log tells of, and what; None: there is nothing any more.

    Raises:
        InvalidEventError: It tells of none.
    """
    try:
        name = bytes.fromhex(key.decode() if isinstance(key, bytes) else key or "")
        record = None if value is None else _decoder.decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidEventError("invalid_key", f"The record is no key: {type(error).__name__}.") from error
    if len(name) != NAME_BYTES:
        raise InvalidEventError("invalid_key", "The record's key is nobody's name.")
    return name, record


class KeyRing:
    """The keys. One thread tells of them; any may ask.

    A person's keys are numbered; of all but the latest it is certain that they are destroyed.

    Args:
        master: Unwraps them.
        opened: How many are kept unwrapped, those asked for last.
    """

    def __init__(self, master: MasterKey, *, opened: int = _OPENED) -> None:
        self._master = master
        self._wrapped: dict[bytes, bytes] = {}
        self._most_opened = opened
        self._opened: OrderedDict[KeyId, PersonalKey] = OrderedDict()
        self._turn = threading.Lock()

    def __len__(self) -> int:
        return len(self._wrapped)

    def apply(self, name: bytes, record: PersonKey | None) -> bool:
        """Take the log's next record; return whether it has destroyed a key.

        A number never goes down and what is destroyed stays so, whoever writes what into the log afterwards.
        """
        if record is None:
            return False  # somebody deleted it by hand; what we know of it is no less true
        before, was_live = self.latest(name)
        now = (record.generation, record.wrapped is None)
        if now <= (before, not was_live):
            return False
        self._wrapped[name] = record.generation.to_bytes(_GENERATION_BYTES) + (record.wrapped or b"")
        with self._turn:
            self._opened.pop(KeyId(name, before), None)
        return record.wrapped is None

    def latest(self, name: bytes) -> tuple[int, bool]:
        """Return the number of the latest key that somebody had, 0 for none, and whether they have it still."""
        known = self._wrapped.get(name)
        if known is None:
            return 0, False
        return int.from_bytes(known[:_GENERATION_BYTES]), len(known) > _GENERATION_BYTES

    def knows(self, key_id: str) -> bool:
        """Return whether it is known what became of a key."""
        name, generation = parse_key_id(key_id)
        return generation <= self.latest(name)[0]

    def seal(self, name: bytes, text: str) -> Sealed | None:
        """Return a text, sealed with somebody's latest key; None: they have none."""
        generation, is_live = self.latest(name)
        key = self._open(KeyId(name, generation)) if is_live else None
        return None if key is None else key.seal(text)

    def open(self, key_id: str, text: str) -> str:
        """Return a sealed text.

        Raises:
            InvalidEventError: The key is destroyed, or not known, or another.
        """
        wanted = parse_key_id(key_id)
        if wanted.generation > self.latest(wanted.name)[0]:
            raise InvalidEventError("key_unknown", "Nobody was ever given the key that its text was sealed with.")
        key = self._open(wanted)
        if key is None:
            raise InvalidEventError("key_destroyed", "Whose text it is has been forgotten: the key is destroyed.")
        return key.open(text)

    def _open(self, key_id: KeyId) -> PersonalKey | None:
        """Return a key; None, if it is destroyed."""
        known = self._wrapped.get(key_id.name, b"")
        if int.from_bytes(known[:_GENERATION_BYTES]) != key_id.generation or len(known) == _GENERATION_BYTES:
            return None
        with self._turn:
            key = self._opened.get(key_id)
            if key is not None:
                self._opened.move_to_end(key_id)
                return key
        key = self._master.unwrap(key_id, known[_GENERATION_BYTES:])
        with self._turn:
            if self._wrapped.get(key_id.name) == known:  # or it has been destroyed this very moment
                self._opened[key_id] = key
                if len(self._opened) > self._most_opened:
                    self._opened.popitem(last=False)
        return key
