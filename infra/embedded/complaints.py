"""The one line worth showing out of all that a program wrote before it failed."""

from __future__ import annotations

_TELLING = ("ERROR", "FATAL", "error:", "Error", "Exception")
_MOST_CHARACTERS = 300


def last_complaint(written: str) -> str:
    """Return the last line that speaks of an error, else the last line, cut to a length one can read."""
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in _TELLING)]
    return (telling or lines or ["nothing"])[-1][:_MOST_CHARACTERS]
