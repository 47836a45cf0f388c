"""Answers remembered: in this process for the texts of the moment, in Redis for the fleet and the next start.

Only whole answers are kept, so that an outage never outlives itself; and never a text, only its digest.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

import msgspec

from models.answer import Answer
from models.observer import Observer, Unobserved

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.router import Route

_DIGEST_BYTES = 16


class Scope(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """All that an answer of the tiers depends on beside its text. What people corrected is looked up before."""

    release: str
    """Of catalogue and models."""
    route: Route
    """Strategy, order of the tiers, and whether it escalates."""
    policy: str = ""
    """Digest of what decides whose answer stands."""


class Store(Protocol):
    """A shared store of bytes. It never fails: what it cannot do, it leaves undone."""

    async def read(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return each key's value, or None."""

    async def write(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values for a while."""

    async def close(self) -> None:
        """Give back what it holds."""


class AnswerCache:
    """An LRU of answers, and a store behind it."""

    def __init__(self, *, entries: int, store: Store | None, observer: Observer | None = None) -> None:
        """Start empty.

        Args:
            entries: How many answers this process remembers; 0: none.
            store: What the fleet remembers; None: nothing.
            observer: Is told of hits and misses.
        """
        self._entries = entries
        self._store = store
        self._observer = observer or Unobserved()
        self._local: OrderedDict[bytes, Answer] = OrderedDict()
        self._decoder = msgspec.msgpack.Decoder(Answer)
        self._encoder = msgspec.msgpack.Encoder()

    async def recall(self, scope: Scope, texts: Sequence[str]) -> list[Answer | None]:
        """Return what is remembered of each normalised text; such an answer says that it is `cached`."""
        keys = _keys(scope, texts)
        answers = [self._recall_local(key) for key in keys]
        missing = [row for row, answer in enumerate(answers) if answer is None]
        self._observer.cache_asked("local", len(texts) - len(missing), len(missing))
        if self._store is None or not missing:
            return answers
        values = await self._store.read([keys[row] for row in missing])
        found = 0
        for row, value in zip(missing, values, strict=True):
            answer = self._decode(value)
            if answer is not None:
                self._keep(keys[row], answer)
                answers[row] = answer
                found += 1
        self._observer.cache_asked("redis", found, len(missing) - found)
        return answers

    async def remember(self, scope: Scope, texts: Sequence[str], answers: Sequence[Answer]) -> None:
        """Keep the answers that no tier's failure made worse."""
        values = {}
        for key, answer in zip(_keys(scope, texts), answers, strict=True):
            if not answer.degraded:
                kept = msgspec.structs.replace(answer, cached=True)
                self._keep(key, kept)
                values[key] = self._encoder.encode(kept)
        if self._store is not None and values:
            await self._store.write(values)

    async def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            await self._store.close()

    def _recall_local(self, key: bytes) -> Answer | None:
        answer = self._local.get(key)
        if answer is not None:
            self._local.move_to_end(key)
        return answer

    def _keep(self, key: bytes, answer: Answer) -> None:
        self._local[key] = answer
        self._local.move_to_end(key)
        if len(self._local) > self._entries:
            self._local.popitem(last=False)

    def _decode(self, value: bytes | None) -> Answer | None:
        """Return the answer; what another version of this code wrote may be none."""
        if value is None:
            return None
        try:
            return self._decoder.decode(value)
        except msgspec.MsgspecError:
            return None


def _keys(scope: Scope, texts: Sequence[str]) -> list[bytes]:
    """Return each text's key: a readable prefix and a digest of the scope and the text."""
    keyed = hashlib.blake2b(msgspec.json.encode(scope), digest_size=_DIGEST_BYTES)
    keys = []
    for text in texts:
        digest = keyed.copy()
        digest.update(text.encode())
        keys.append(b"intentstream:answer:" + digest.digest())
    return keys
