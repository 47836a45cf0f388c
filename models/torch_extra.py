"""torch and transformers, which most workers do without: whether they are here, and how to get them."""

from __future__ import annotations

import importlib.util

from schemas.errors import UnavailableError


def require_torch(who: str, extra: str) -> None:
    """Return if both are installed.

    Args:
        who: Needs them, as the beginning of a sentence.
        extra: Of intentstream, which brings them.

    Raises:
        UnavailableError: It says how to install them.
    """
    if missing := [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]:
        raise UnavailableError(
            f"{who} needs {' and '.join(missing)}, which serving does without: install intentstream's extra "
            f"`{extra}`, in a checkout with `uv sync --extra {extra}`."
        )
