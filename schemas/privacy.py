"""The setting that has texts sealed, and the file it names: the one secret that the log alone opens nothing without."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from schemas.settings_section import Section

MASTER_KEY_BYTES = 32


class Privacy(Section):
    """Texts sealed with a key per person, so that a person can be forgotten."""

    master_key_file: Path | None = Field(
        None,
        description="32 random bytes in Base64, with which people's keys are wrapped; left out: no text is sealed, and "
        "none that is can be opened. Needs the extra `privacy`.",
    )

    @field_validator("master_key_file")
    @classmethod
    def _has_a_key(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_master_key(path)
        return path


def read_master_key(path: Path) -> bytes:
    """Return the secret in a file; what is wrong is said without a word of it.

    Raises:
        PydanticCustomError: It cannot be read, or holds something else.
    """
    try:
        secret = base64.b64decode(path.read_bytes().strip(), validate=True)
    except (OSError, binascii.Error):
        secret = b""
    if len(secret) != MASTER_KEY_BYTES:
        raise PydanticCustomError(
            "master_key", "Input should be a file with 32 bytes in Base64, as `openssl rand -base64 32` writes them"
        )
    return secret
