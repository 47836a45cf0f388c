"""Where the network runs: a GPU where there is one, else this processor, in the number format it is fastest in."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import msgspec
import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_TRIAL_ROWS, _TRIAL_WIDTH, _TRIAL_ROUNDS = 384, 384, 20
"""About a layer's work for a batch of short texts."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A place to compute.

    Attributes:
        name: torch's: `cpu` or `cuda`.
        bfloat16: Whether products are taken in bfloat16; sums, norms and weights stay in fp32.
    """

    name: str
    bfloat16: bool

    def products(self) -> AbstractContextManager[object]:
        """Return the context in which the network is to be called."""
        return torch.autocast(self.name, torch.bfloat16) if self.bfloat16 else contextlib.nullcontext()


def best_device(*, threads: int) -> Device:
    """Return a GPU if there is one, else this processor, in bfloat16 if a trial finds that faster.

    Args:
        threads: Of torch in this process from here on.
    """
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        return Device(name="cuda", bfloat16=torch.cuda.is_bf16_supported())
    return Device(name="cpu", bfloat16=_seconds(torch.bfloat16) < _seconds(torch.float32))


def _seconds(dtype: torch.dtype) -> float:
    """Return the least time that a product took."""
    left = torch.ones(_TRIAL_ROWS, _TRIAL_WIDTH, dtype=dtype)
    right = torch.ones(_TRIAL_WIDTH, 4 * _TRIAL_WIDTH, dtype=dtype)
    taken = []
    for _ in range(_TRIAL_ROUNDS):
        before = time.perf_counter()
        left @ right
        taken.append(time.perf_counter() - before)
    return min(taken)
