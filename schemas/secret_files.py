"""Settings in files of their own, as orchestrators mount secrets: each file is called as its variable would be.

A folder of Docker's or Kubernetes' secrets holds other things, too, so what has not our prefix is passed over.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_settings import EnvSettingsSource

from schemas.errors import InvalidSettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRETS_VARIABLE = "INTENTSTREAM_SECRETS"
"""The environment variable that names the folder."""


def secret_files(prefix: str) -> dict[str, Path]:
    """Return the files of the folder, by their names; none where no folder is named.

    Args:
        prefix: What a name must begin with, in upper or lower case.

    Raises:
        InvalidSettingsError: What is named is no folder.
    """
    named = os.environ.get(SECRETS_VARIABLE)
    if not named:
        return {}
    folder = Path(named)
    if not folder.is_dir():
        raise InvalidSettingsError(f"{SECRETS_VARIABLE} names {folder}, which is no folder.")
    return {file.name: file for file in sorted(folder.iterdir()) if file.name.upper().startswith(prefix)}


class SecretFiles(EnvSettingsSource):
    """Reads them as if they were the environment's, without the line's end that editors and `echo` leave."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = {}
        for name, file in secret_files(self.env_prefix).items():
            try:
                content = file.read_text().rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidSettingsError(f"{file} cannot be read: {type(error).__name__}.") from None
            if content:
                found[name.lower()] = content
        return found
