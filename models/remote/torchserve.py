"""TorchServe's inference API, with the handler that `models.remote.archive` puts into an archive.

TorchServe is no longer maintained, and its tokens travel unencrypted: it is asked on this machine only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.labels import Labels
from models.prediction import TierFailedError
from models.remote.served import checked_logits, decoded, most_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.remote.client import ServerClient
    from models.remote.served import Logits

_PROTOCOL = "the handler in our archives"


class _Described(Labels, frozen=True, kw_only=True):
    """What the handler answers to no texts; `release` is a digest of the archive's graph."""

    release: str


class _Answer(msgspec.Struct, frozen=True):
    release: str
    logits: list[list[float]]


class TorchServeServer:
    """A TorchServe, asked for one model."""

    def __init__(self, client: ServerClient, *, model: str, version: str | None) -> None:
        """Take whom to ask for what.

        Args:
            client: Of its inference address.
            model: The model's name.
            version: None: its default version.
        """
        self._client = client
        self._path = f"/predictions/{model}" + (f"/{version}" if version else "")

    async def model(self) -> TorchServeModel:
        """Ask TorchServe whether it is well, and the handler what it serves.

        Raises:
            TierFailedError: It is not ready, or not there, or the model was archived by someone else.
        """
        await self._client.get("/ping")
        described = decoded(await self._client.post(self._path, _question(())), _Described, protocol=_PROTOCOL)
        return TorchServeModel(self._client, self._path, labels=described, version=described.release)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class TorchServeModel:
    """A model of a TorchServe."""

    def __init__(self, client: ServerClient, path: str, *, labels: Labels, version: str) -> None:
        """Take how it is asked, and what its handler said of it."""
        self.labels = labels
        self.version = self.release = version
        self._client = client
        self._path = path

    async def logits(self, texts: Sequence[str]) -> Logits:
        """Return one row a text.

        Raises:
            TierFailedError: There is no answer that can be used, or one of another release than before.
        """
        expected = (len(texts), len(self.labels.labels))
        body = await self._client.post(self._path, _question(texts), most_bytes=most_bytes(*expected))
        answer = decoded(body, _Answer, protocol=_PROTOCOL)
        if answer.release != self.version:
            raise TierFailedError("its server has changed to another release")
        shape = (len(answer.logits), max(map(len, answer.logits), default=0))
        numbers = [number for row in answer.logits for number in row]
        return checked_logits(numbers, shape=shape, expected=expected)


def _question(texts: Sequence[str]) -> bytes:
    return msgspec.json.encode({"texts": texts})
