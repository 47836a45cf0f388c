"""Flags set by whoever starts the process, `FEATURE_FLAG_<NAME>_ENABLED=true`: they stand above everything else.

Also flags that were added: whether there are such can only be known once the changelog has been read, so a name that
no flag has is no error, but a warning for as long as it has none.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from flags.definitions import DEFINITIONS
from schemas.errors import InvalidSettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "FEATURE_FLAG_"
SUFFIX = "_ENABLED"

_VARIABLE = re.compile(f"{PREFIX}([A-Z][A-Z0-9_]{{0,63}}){SUFFIX}")
_WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def read_overrides(environment: Mapping[str, str]) -> dict[str, bool]:
    """Return the flags that the environment sets, by name.

    Args:
        environment: Usually `os.environ`; what does not begin with `FEATURE_FLAG_` is not looked at.

    Raises:
        InvalidSettingsError: Every variable that can name no flag, every value that is neither on nor off, at once.
    """
    overrides: dict[str, bool] = {}
    faults: list[str] = []
    for variable in sorted(environment):
        if not variable.startswith(PREFIX):
            continue
        state, named = _WORDS.get(environment[variable].strip().lower()), _VARIABLE.fullmatch(variable)
        if named is None:
            faults.append(f"{variable}: it can be no flag's; they are named {PREFIX}<NAME>{SUFFIX}")
        elif state is None:
            faults.append(f"{variable}: say one of {', '.join(_WORDS)}")
        else:
            overrides[named[1].lower()] = state
    if faults:
        raise InvalidSettingsError("These flags cannot be set:\n" + "\n".join(f"  {fault}" for fault in faults))
    return overrides


def describe_unknown(overrides: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return a sentence for each override of no flag, with the flag of ours that may be meant.

    Args:
        overrides: The flags that the environment sets, by name.
        names: Of the flags there are.
    """
    known = set(names)
    return [_describe(name) for name in overrides if name not in known]


def _describe(name: str) -> str:
    nearest = difflib.get_close_matches(name, [flag.name for flag in DEFINITIONS], n=1)
    hint = f"did you mean {_variable(nearest[0])}?" if nearest else "it counts as soon as there is one."
    return f"{_variable(name)} is set, and there is no flag {name}; {hint}"


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}{SUFFIX}"
