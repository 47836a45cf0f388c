"""All that helps whoever is asked for help: a worker's settings, health, metrics and flags; no secret and no text."""

from __future__ import annotations

import datetime as dt
import platform
from typing import TYPE_CHECKING, Any

from health.probes import overall
from schemas.settings_table import describe_settings

if TYPE_CHECKING:
    from flags.evaluation import Snapshot as Flags
    from schemas.settings import Settings
    from streams.console.sampler import Known
    from streams.console.snapshot import Snapshot

_FLAG_FIELDS = ("name", "kind", "enabled", "killed", "rollout_percentage", "revision", "changed_at", "deleted")
"""Not the rules and not the reasons: users stand there, and what people wrote."""


def debug_bundle(known: Known, snapshot: Snapshot, flags: Flags, settings: Settings) -> dict[str, Any]:
    """Return it, for JSON.

    Args:
        known: Where to ask.
        snapshot: The worker as it is.
        flags: Likewise.
        settings: Which are masked.
    """
    return {
        "made_at": dt.datetime.now(dt.UTC),
        "version": known.version,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "settings": {row.name: row.value for row in describe_settings(settings)},
        "health": overall(known.state(), known.dependencies(), version=known.version).body,
        "console": snapshot,
        "flags": [{field: getattr(flag, field) for field in _FLAG_FIELDS} for flag in flags.changes.values()],
        "metrics": known.metrics.exposition().decode(),
    }
