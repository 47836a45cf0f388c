"""Flags set by whoever starts the process, `FEATURE_FLAG_<NAME>_ENABLED=true`: they stand above everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flags.definitions import DEFINITIONS
from schemas.errors import InvalidSettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "FEATURE_FLAG_"
SUFFIX = "_ENABLED"

_WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def read_overrides(environment: Mapping[str, str]) -> dict[str, bool]:
    """Return the flags that the environment sets, by name.

    Args:
        environment: Usually `os.environ`; what does not begin with `FEATURE_FLAG_` is not looked at.

    Raises:
        InvalidSettingsError: Every variable that names no flag and every value that is neither on nor off, at once.
    """
    names = {f"{PREFIX}{flag.name.upper()}{SUFFIX}": flag.name for flag in DEFINITIONS}
    overrides: dict[str, bool] = {}
    faults: list[str] = []
    for variable in sorted(environment):
        if not variable.startswith(PREFIX):
            continue
        state = _WORDS.get(environment[variable].strip().lower())
        if variable not in names:
            faults.append(f"{variable}: there is no such flag; there are {', '.join(sorted(names))}")
        elif state is None:
            faults.append(f"{variable}: say one of {', '.join(_WORDS)}")
        else:
            overrides[names[variable]] = state
    if faults:
        raise InvalidSettingsError("These flags cannot be set:\n" + "\n".join(f"  {fault}" for fault in faults))
    return overrides
