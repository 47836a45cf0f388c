"""What a server protocol must do for the tier, and what it may take for an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from models.prediction import TierFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.labels import Labels

_Kind = TypeVar("_Kind")

Logits = npt.NDArray[np.float32]
"""Shape (texts, labels of the served model)."""

_BYTES_A_LOGIT = 64
"""Of JSON: a number of 17 digits with sign and exponent takes 25, and servers may lay it out with blanks."""

_BYTES_AROUND = 65_536
"""For names, parameters and labels around the numbers."""


class ServedModel(Protocol):
    """One model of a server, as it was when the server was last asked what it serves."""

    @property
    def labels(self) -> Labels:
        """What its logits stand for."""

    @property
    def version(self) -> str | None:
        """Which version answers, if the server tells."""

    @property
    def release(self) -> str | None:
        """What the server calls the release, if it tells (`models.remote.release.ServedRelease.digests`)."""

    async def logits(self, texts: Sequence[str]) -> Logits:
        """Return one row a text.

        Raises:
            TierFailedError: There is no answer that can be used.
        """


class ModelServer(Protocol):
    """A server that runs a model."""

    async def model(self) -> ServedModel:
        """Ask the server whether it is ready and what it serves.

        Raises:
            TierFailedError: It is not ready, or not there.
            TierUnavailableError: What it serves cannot be used; asking again soon will not help.
        """

    async def close(self) -> None:
        """Close the connections."""


def most_bytes(texts: int, labels: int) -> int:
    """Return how long an answer in JSON can be."""
    return _BYTES_AROUND + texts * labels * _BYTES_A_LOGIT


def decoded(body: bytes, kind: type[_Kind], *, protocol: str) -> _Kind:
    """Return an answer's JSON as what it should be; whole numbers may be strings, as protobuf's JSON has them.

    Raises:
        TierFailedError: It is something else.
    """
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TierFailedError(f"its server's answer is not of {protocol}") from error


def checked_logits(numbers: list[float], *, shape: Sequence[int], expected: tuple[int, int]) -> Logits:
    """Return numbers as logits.

    Args:
        numbers: Row by row.
        shape: What the server says their shape is.
        expected: Texts and labels.

    Raises:
        TierFailedError: They are not of that shape, or hold what is no number.
    """
    if tuple(shape) != expected or len(numbers) != expected[0] * expected[1]:
        raise TierFailedError(f"its server's answer is not of shape {expected}")
    logits = np.array(numbers, np.float64).reshape(expected)
    if not (np.abs(logits) < np.finfo(np.float32).max).all():  # False for NaN, too
        raise TierFailedError("its server's answer holds what is no number")
    return logits.astype(np.float32)
