"""Seals texts and wraps keys, with AES-256-GCM; what one key has sealed, no other opens, and nobody changes unnoticed.

The master key is never used itself: one key that is derived from it names people, another wraps their keys.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import InvalidEventError

KEY_BYTES = 32
NAME_BYTES = 16
_NONCE_BYTES = 12
"""Random: of 2**32 texts of one person, two have the same by a chance of one in four thousand million."""


class KeyId(NamedTuple):
    """Which key: the person's, by a name that only who has the master key can tell; and which of theirs, from 1."""

    name: bytes
    generation: int

    def __str__(self) -> str:
        return f"{self.name.hex()}.{self.generation}"


class Sealed(NamedTuple):
    """A text that only who has the key can read.

    Attributes:
        key_id: Of the key.
        text: What stands in the text's place: Base64 of the nonce and what AES-GCM makes of the text.
    """

    key_id: str
    text: str


def parse_key_id(text: str) -> KeyId:
    """Read what `str(KeyId)` wrote.

    Raises:
        InvalidEventError: It is none.
    """
    name, _, generation = text.partition(".")
    try:
        key_id = KeyId(bytes.fromhex(name), int(generation))
    except ValueError:
        key_id = KeyId(b"", 0)
    if str(key_id) != text or len(key_id.name) != NAME_BYTES:
        raise InvalidEventError("key_unknown", "Its key_id is none that we ever gave a key.")
    return key_id


class MasterKey:
    """Names people and wraps their keys.

    Args:
        secret: 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._naming = _derived(secret, b"intentstream: names of people")
        self._wrapping = AESGCM(_derived(secret, b"intentstream: keys of people"))

    def name(self, person_id: str) -> bytes:
        """Return the name of a person's keys."""
        said = person_id.encode(errors="surrogatepass")
        return hmac.digest(self._naming, said, "sha256")[:NAME_BYTES]

    def wrap(self, key_id: KeyId, key: bytes) -> bytes:
        """Return a key as it may stand on the log."""
        return _encrypt(self._wrapping, key, key_id)

    def unwrap(self, key_id: KeyId, wrapped: bytes) -> PersonalKey:
        """Return what a person's texts are sealed with.

        Raises:
            InvalidEventError: Another master key wrapped it, or it is another's.
        """
        try:
            return PersonalKey(key_id, _decrypt(self._wrapping, wrapped, key_id))
        except InvalidTag:
            raise InvalidEventError("key_unknown", "Its key was wrapped with another master key than ours.") from None


class PersonalKey:
    """One person's. Safe to share between threads.

    Args:
        key_id: Its own.
        key: 32 bytes.
    """

    def __init__(self, key_id: KeyId, key: bytes) -> None:
        self._key_id = key_id
        self._cipher = AESGCM(key)

    def seal(self, text: str) -> Sealed:
        """Return a text, sealed."""
        sealed = _encrypt(self._cipher, text.encode(errors="surrogatepass"), self._key_id)
        return Sealed(str(self._key_id), base64.b64encode(sealed).decode())

    def open(self, text: str) -> str:
        """Return what stood in a sealed text's place.

        Raises:
            InvalidEventError: It was not sealed with this key, or was changed since.
        """
        try:
            return _decrypt(self._cipher, base64.b64decode(text, validate=True), self._key_id).decode(
                errors="surrogatepass"
            )
        except (InvalidTag, binascii.Error, ValueError):
            # Not chained: a UnicodeDecodeError carries the text.
            raise InvalidEventError("seal_broken", "Its text was not sealed with the key that it names.") from None


def new_key() -> bytes:
    """Return a key that nobody has yet."""
    return os.urandom(KEY_BYTES)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    """Return a key of its own for a purpose: HKDF's expansion (RFC 5869) of a secret that is random as it is."""
    return hmac.digest(secret, purpose + b"\x01", "sha256")


def _encrypt(cipher: AESGCM, content: bytes, key_id: KeyId) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, content, str(key_id).encode())


def _decrypt(cipher: AESGCM, sealed: bytes, key_id: KeyId) -> bytes:
    """Return what was sealed.

    Raises:
        InvalidTag: Not with this key, under this id.
    """
    if len(sealed) < _NONCE_BYTES:
        raise InvalidTag
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], str(key_id).encode())
