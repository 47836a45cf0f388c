"""What a change is based on, as HTTP says it (RFC 9110, 13.1): a flag's revision is its entity tag."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flags.definitions import DEFINITIONS
from flags.errors import PreconditionFailedError
from schemas.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Container

    from multidict import MultiMapping

NONE_YET = frozenset({0})
ANY_YET = range(1, 10**18)

_BUILT_IN = frozenset(flag.name for flag in DEFINITIONS)
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_REVISION = re.compile(r"\d{1,18}", re.ASCII)
_READ = "\0"


def etag(revision: int) -> str:
    """Return a revision as an entity tag."""
    return f'"{revision}"'


def expected_revisions(name: str, headers: MultiMapping[str]) -> Container[int] | None:
    """Return the revisions that a flag may have, as `flags.edits.Edit` says it; None: whichever.

    Args:
        name: Of the flag.
        headers: Of the request; `If-Match` with tags or `*`, or `If-None-Match: *`.

    Raises:
        InvalidRequestError: The headers say something else, or both.
        PreconditionFailedError: No flag will ever be as they say.
    """
    wanted, unwanted = (", ".join(headers.getall(header, ())) for header in ("If-Match", "If-None-Match"))
    if wanted and unwanted:
        raise InvalidRequestError("If-Match and If-None-Match exclude each other.")
    if unwanted:
        return _none_yet(name, unwanted)
    if wanted.strip() == "*":
        return None if name in _BUILT_IN else ANY_YET
    if not wanted and "If-Match" not in headers:
        return None
    between = {part.strip(" \t") for part in _TAG.sub(_READ, wanted).split(",")}
    if _READ not in between or not between <= {_READ, ""}:
        raise InvalidRequestError('If-Match is * here, or revisions in quotes, such as "41".')
    # Tags that we never gave, weak ones among them, are those of nothing there is.
    return frozenset(int(tag) for weak, tag in _TAG.findall(wanted) if not weak and _REVISION.fullmatch(tag))


def _none_yet(name: str, unwanted: str) -> Container[int]:
    if unwanted.strip() != "*":
        raise InvalidRequestError("If-None-Match is * here: there must be no such flag yet.")
    if name in _BUILT_IN:
        raise PreconditionFailedError(f"The flag {name} is one of our own, and there already.")
    return NONE_YET
