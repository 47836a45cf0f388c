"""One normal form of a text, so that the cache, the tiers and training mean the same by "the same text"."""

from __future__ import annotations

import unicodedata


def normalise(text: str) -> str:
    """Return the text in NFC and lower case, each run of white space as one blank, lone surrogates replaced.

    Every tier reads this form and the cache keys on it: two texts that share it get the same answer.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    return " ".join(text.lower().split())
