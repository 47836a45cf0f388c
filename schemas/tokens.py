"""Bearer tokens: a secret, and what it lets its holder do."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from schemas.events import MAX_IDENTIFIER_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_SECRET_CHARACTERS = 16

_BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What RFC 6750 lets one be."""


class Scope(enum.StrEnum):
    """What a token lets its holder do; none includes another."""

    FLAGS_READ = "flags:read"
    FLAGS_WRITE = "flags:write"
    FEEDBACK_WRITE = "feedback:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    RESULTS_READ = "results:read"
    CONSOLE_READ = "console:read"
    DEAD_LETTERS_REPLAY = "dead-letters:replay"


class Token(BaseModel):
    """What lets its holder do something over HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: SecretStr = Field(min_length=MIN_SECRET_CHARACTERS, description="What its holder sends.")
    scopes: frozenset[Scope] = Field(min_length=1, description="What they may do.")

    @field_validator("secret")
    @classmethod
    def _can_be_sent(cls, secret: SecretStr) -> SecretStr:
        if not _BEARER_TOKEN.fullmatch(secret.get_secret_value()):
            raise PydanticCustomError("secret", "A secret is of letters, digits and - . _ ~ + / =")
        return secret


def check_holders(tokens: Mapping[str, Token]) -> None:
    """Make sure that each secret says who holds it.

    Args:
        tokens: By the name of their holder.

    Raises:
        PydanticCustomError: It does not.
    """
    if any(not 1 <= len(name) <= MAX_IDENTIFIER_CHARACTERS for name in tokens):
        raise PydanticCustomError("token_name", "The name of who holds a token has 1 to 512 characters")
    if len({token.secret.get_secret_value() for token in tokens.values()}) < len(tokens):
        raise PydanticCustomError("token_twice", "Two tokens have the same secret, so nobody knows whose it is")
