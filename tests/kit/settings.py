"""Settings that come from a test's own folder and nowhere else, and what is said against them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from schemas.errors import InvalidSettingsError
from schemas.settings_loading import load_settings

if TYPE_CHECKING:
    from pathlib import Path


def settle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder, with no setting in the environment; return the folder."""
    for name in os.environ:
        if name.upper().startswith("INTENTSTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    return folder


def faults() -> list[str]:
    """Return what is wrong with the settings, a line each."""
    with pytest.raises(InvalidSettingsError) as refused:
        load_settings()
    return str(refused.value).splitlines()[1:]
