"""What a network that corrections have taught says of itself: whose it was, and what it has learnt since."""

from __future__ import annotations

import msgspec

TAUGHT_FILE = "taught.json"

MOST_BYTES = 8 << 20
"""Of that file: a key is 35 bytes, and there are 100,000 lessons at most."""


class Taught(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `taught.json`; no text is in it.

    Attributes:
        owner: The release of the network that its owner trained and that was taught; what is gone back to.
        lessons: The revision of the corrections' log that it has learnt.
        traffic: How many texts without a label it has learnt from, too.
        texts: The keys of the lessons that it has learnt (`models.learning.lessons.lesson_key`).
    """

    owner: str
    lessons: int
    traffic: int = 0
    texts: tuple[str, ...] = ()
