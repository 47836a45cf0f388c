"""Reads the settings, or says everything that is wrong with them.

A name that is not in the tree is refused, wherever it comes from, so that a typing error never becomes a default.
"""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_settings import SettingsError

from schemas.errors import InvalidSettingsError
from schemas.secret_files import SECRETS_VARIABLE, secret_files
from schemas.settings import FILE_VARIABLE, PREFIX, Settings, setting_fields, settings_file, variable_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        InvalidSettingsError: Every unknown name and every value that does not fit, at once.
    """
    file = settings_file()
    if os.environ.get(FILE_VARIABLE) and not file.is_file():
        raise InvalidSettingsError(f"{FILE_VARIABLE} names {file}, which is no file.")
    if file.is_dir():
        raise InvalidSettingsError(f"{file} is a folder, where settings are read from a file of that name.")
    faults = _unknown_variables([*os.environ, *secret_files(PREFIX)])
    try:
        settings = Settings()
    except ValidationError as error:
        # Of an unknown variable pydantic may complain, too, by the same name.
        faults = {variable_name(fault["loc"]): _describe(fault) for fault in error.errors(include_input=False)} | faults
    except SettingsError as error:  # a variable for a whole section, which is already among the unknown ones
        faults = faults or {"": str(error)}
    except (ValueError, OSError) as error:  # a file that is not TOML, or that cannot be read
        faults[str(file)] = f"{file}: {error}"
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults.values())
        raise InvalidSettingsError(f"These settings cannot be used:\n{lines}")
    return settings


def _unknown_variables(environment: Iterable[str]) -> dict[str, str]:
    """Return a line for each name with our prefix that names no setting (pydantic-settings passes over some)."""
    known = [variable_name(path) for path, _ in setting_fields(Settings)]
    unknown = {}
    for variable in sorted(environment):
        name = variable.upper()  # pydantic-settings reads lower case, too
        if name.startswith(PREFIX) and name not in {*known, FILE_VARIABLE, SECRETS_VARIABLE}:
            unknown[name] = f"{variable}: there is no such setting; {_suggestion(name, known)}"
    return unknown


def _describe(fault: ErrorDetails) -> str:
    """Say what is wrong with one setting; never its value, which may be a secret."""
    path = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        known = [".".join(path) for path, _ in setting_fields(Settings)]
        return f"{path} in the file: there is no such setting; {_suggestion(path, known)}"
    return f"{variable_name(fault['loc'])} ({path} in the file): {fault['msg']}"


def _suggestion(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else "`intentstream settings` lists them"
