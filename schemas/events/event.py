"""What all events share: how they are written, and the types of the fields that many of them have."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Probability = Annotated[float, Meta(ge=0, le=1, description="A calibrated probability.")]
Seconds = Annotated[float, Meta(ge=0, description="A duration in seconds.")]
MAX_IDENTIFIER_CHARACTERS = 512
Identifier = Annotated[str, Meta(min_length=1, max_length=MAX_IDENTIFIER_CHARACTERS)]
KeyId = Annotated[
    str,
    Meta(max_length=64, description="Of the key that `text` is sealed with, `intents.keys.v1`; left out: it is plain."),
]
Locale = Annotated[str, Meta(max_length=35, description="BCP 47, such as `en-GB`.")]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What all events have in common: immutable, named fields, defaults left out on the wire.

    The garbage collector passes over them: what is decoded or frozen refers to nothing that refers to it, and a worker
    has tens of thousands of them.
    """
