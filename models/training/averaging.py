"""The weights' moving average: better than the last step's, and than what a lower learning rate would come to.

Steps at a useful rate end beside the minimum, each elsewhere; their mean lies nearer to it, in a flatter place, which
does better on other texts (Polyak and Juditsky 1992; Izmailov et al. 2018, arXiv 1803.05407).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

_PARTS = 20
"""Of the window. Weights are taken in once a part: between neighbouring steps they hardly differ, and a copy costs."""


class Average:
    """An exponential average over what a network was, of those of its weights that learn."""

    def __init__(self, network: torch.nn.Module, *, window_steps: float) -> None:
        """Begin with the network as it is.

        Args:
            network: Whose weights.
            window_steps: How far back it reaches: a step so long ago counts 1/e of the latest.
        """
        self._learning = {name: weights for name, weights in network.named_parameters() if weights.requires_grad}
        self.tensors: dict[str, torch.Tensor] = {
            name: weights.detach().clone() for name, weights in self._learning.items()
        }
        self._every = max(1, int(window_steps / _PARTS))
        self._share = min(1.0, self._every / max(window_steps, 1.0))

    def take_in(self, step: int) -> None:
        """Let the network as it is after a step, counted from 1, have its part."""
        if step % self._every:
            return
        for name, weights in self._learning.items():
            self.tensors[name].lerp_(weights.detach(), self._share)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the network, and back what was there before."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for name, weights in self._learning.items():
            weights.data, self.tensors[name] = self.tensors[name], weights.data
