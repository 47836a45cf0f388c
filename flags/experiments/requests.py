"""What people ask of experiments, read field by field: what is to be compared, and how it is to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

from flags.edits import convert
from flags.experiments.acts import Design
from schemas.events import Experiment, FlagChange
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPERIMENT = get_type_hints(Experiment, include_extras=True)
_FLAG = get_type_hints(FlagChange, include_extras=True)
_DESIGN: Mapping[str, Any] = {
    "arms": dict[str, Strategy],
    "control": _EXPERIMENT["control"],
    "metric": _EXPERIMENT["metric"],
    "percentage": _FLAG["rollout_percentage"],
    "alpha": _EXPERIMENT["alpha"],
}
_CONCLUSION: Mapping[str, Any] = {"arm": str, "anyway": bool}

DESIGNED = tuple(_DESIGN)
"""The fields of a design."""
NEEDED = ("arms", "control")
"""Those that have no default."""
CONCLUDED = tuple(_CONCLUSION)
"""The fields of a conclusion."""


class Conclusion(NamedTuple):
    """How an experiment is to end, as `flags.experiments.acts.conclude` has it."""

    arm: str | None = None
    anyway: bool = False


def read_design(name: str, said: Mapping[str, Any]) -> tuple[Design | None, list[str]]:
    """Return what is to be compared, if that can be told, and what is wrong with how it was said.

    Args:
        name: Of the flag.
        said: Fields of a design, as JSON has them, and no others; what was left out, or is wrong, is the default.
    """
    fields, faults = convert(said, _DESIGN)
    missing = [f"{field}: it is missing" for field in NEEDED if field not in said]
    design = Design(flag=name, **fields) if fields.keys() >= set(NEEDED) else None
    return design, [*missing, *faults.values()]


def read_conclusion(said: Mapping[str, Any]) -> tuple[Conclusion, list[str]]:
    """Return how an experiment is to end, and what is wrong with how that was said.

    Args:
        said: Fields of a conclusion, as JSON has them, and no others.
    """
    fields, faults = convert(said, _CONCLUSION)
    return Conclusion(**fields), list(faults.values())
