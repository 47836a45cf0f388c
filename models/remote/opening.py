"""From settings to a tier: which protocol, which server, which release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.remote.client import ServerClient
from models.remote.oip import OpenInferenceServer
from models.remote.release import ServedRelease
from models.remote.tier import RemoteTier
from models.remote.torchserve import TorchServeServer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from models.remote.served import ModelServer
    from schemas.settings import Settings


def remote_tier(name: str, settings: Settings, labels: Sequence[str], *, installed: Path) -> RemoteTier | None:
    """Return the tier that the settings name a server for, not connected yet; None where they name none.

    Args:
        name: What results and metrics call the tier.
        settings: Of the server and of the chain.
        labels: The catalogue's intents, in the order of the tiers' columns.
        installed: The folder of the release that would be served in this process.
    """
    remote = settings.remote
    if remote.kind == "none":
        return None
    client = ServerClient(remote, seconds=settings.chain.tier_deadline_seconds)
    release = ServedRelease(remote.release or installed, labels)
    server: ModelServer
    if remote.kind == "oip":
        server = OpenInferenceServer(client, release, model=remote.model, version=remote.version)
    else:
        server = TorchServeServer(client, model=remote.model, version=remote.version)
    return RemoteTier(
        name,
        server,
        release,
        source=f"{remote.kind} {remote.url} {remote.model}",
        max_batch=remote.max_batch,
        connections=remote.connections,
        recheck_seconds=settings.chain.breaker_open_seconds,
    )
