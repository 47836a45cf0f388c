"""What people ask for, on the command line or over HTTP: a plan, read field by field, and acts by their words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_type_hints

from flags.edits import convert
from flags.rollouts.acts import Plan, abort, climb, pause, resume
from schemas.events import Rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flags.acts import Author
    from flags.edits import Edit
    from schemas.events import FlagChange

ACTS: Mapping[str, Callable[[FlagChange, Author], Edit]] = {
    "pause": pause,
    "resume": resume,
    "skip": climb,
    "abort": abort,
}
"""What can be done with a rollout under way, by the word for it."""

PLANNED = Plan.__struct_fields__
"""The fields of a plan."""

_TYPES = get_type_hints(Rollout, include_extras=True)


def read_plan(said: Mapping[str, Any]) -> tuple[Plan, list[str]]:
    """Return a plan and what is wrong with how it was said; what was left out, or is wrong, is the default.

    Args:
        said: Fields of a plan, as JSON has them, and no others.
    """
    fields, faults = convert(said, _TYPES)
    return Plan(**fields), list(faults.values())
