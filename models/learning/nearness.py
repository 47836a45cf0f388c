"""How near is near: what a catalogue's own examples say about distances between embeddings.

Two questions, two measures. Whether two texts say the same thing is a matter of cosine: from which cosine on a text's
nearest neighbour nearly always shares its intent. Whether a text belongs with a few others is harder, for intents are
wide in some directions and narrow in others, and lie apart in some more than in others. So embeddings are whitened by
how texts of one intent differ, and intents are compared by the likelihood that a text comes from each, given how many
examples tell where it lies (probabilistic linear discriminant analysis: Ioffe 2006; Prince and Elder 2007). An intent
told by five examples and one told by a hundred can be held against each other that way.

`models.training.nearness` fits all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from models.learning.gate import Rarity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

FILE = "nearness.safetensors"

VERSION = 3
"""Raised whenever the same examples would be measured otherwise."""

_ONE = np.float32(1)


class Groups(NamedTuple):
    """Groups of texts that mean the same, in whitened space."""

    means: npt.NDArray[np.float32]
    """Shape (groups, width)."""
    counts: npt.NDArray[np.float32]
    """Shape (groups,): how many texts tell where each lies."""


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """Whitened space, and how intents lie in it.

    Attributes:
        whitening: Shape (width, width); texts of one intent differ by 1 in every direction of what it leads to, and
            intents differ in each independently of the others.
        centre: Shape (width,): the mean of the intents' means.
        spread: Shape (width,): the variance of the intents' means around it.
    """

    whitening: npt.NDArray[np.float32]
    centre: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]

    def whiten(self, embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return shape (texts, width)."""
        whitened: npt.NDArray[np.float32] = embeddings @ self.whitening
        return whitened

    def likelihoods(self, whitened: npt.NDArray[np.float32], groups: Groups) -> npt.NDArray[np.float32]:
        """Return the log-likelihood of each text coming from each group, but for a constant; shape (texts, groups)."""
        expected, total = self._where(groups)
        exact = 1 / total
        squares = whitened**2 @ exact.T - 2 * whitened @ (expected * exact).T + (expected**2 * exact).sum(axis=1)
        logs: npt.NDArray[np.float32] = -(squares + np.log(total).sum(axis=1)) / 2
        return logs

    def own_likelihoods(
        self, whitened: npt.NDArray[np.float32], members: npt.NDArray[np.intp], groups: Groups
    ) -> npt.NDArray[np.float32]:
        """Return the same of each text and its own group, as it lay without that text; shape (texts,)."""
        counts = groups.counts[members] - 1
        others = (groups.means[members] * groups.counts[members, None] - whitened) / np.maximum(counts, 1)[:, None]
        expected, total = self._where(Groups(others.astype(np.float32), counts))
        logs: npt.NDArray[np.float32] = -((whitened - expected) ** 2 / total + np.log(total)).sum(axis=1) / 2
        return logs

    def _where(self, groups: Groups) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return where a group's next text is expected, and its variance there; both of shape (groups, width)."""
        counts = groups.counts[:, None]
        variance = _ONE / (_ONE / self.spread + counts)
        return variance * (self.centre / self.spread + counts * groups.means), _ONE + variance

    @property
    def nowhere(self) -> Groups:
        """Return the group that nothing is known of: what a text is held against that may belong to no intent."""
        return Groups(self.centre[None, :], np.zeros(1, np.float32))


class Nearness(msgspec.Struct, frozen=True, kw_only=True):
    """What is near, for one catalogue and one encoder.

    Attributes:
        least_cosine: From here on two texts say the same.
        precision: How often that was right of the catalogue's examples.
        examples: Shape (texts, width): embeddings of the catalogue's examples, or of some of them.
        intents: Shape (texts,): the column of each one's intent.
        characters: How rare the character n-grams are in them.
        space: None where there were too few examples.
        catalogue: The catalogue's intents in that space.
        least_margin: How much likelier a taught intent must be than every other for a text to belong to it.
    """

    least_cosine: float
    precision: float
    examples: npt.NDArray[np.float16]
    intents: npt.NDArray[np.intp]
    characters: Rarity
    space: Space | None = None
    catalogue: Groups | None = None
    least_margin: float = float("inf")

    def save(self, file: Path) -> None:
        """Write it as safetensors."""
        numbers = np.array([self.least_cosine, self.precision, self.least_margin], np.float64)
        tensors: dict[str, npt.NDArray[Any]] = {"numbers": numbers, "examples": self.examples}
        tensors["intents"] = self.intents.astype(np.int64)
        tensors |= {"buckets": self.characters.buckets, "weights": self.characters.weights}
        tensors["unseen"] = np.array([self.characters.unseen], np.float64)
        if self.space is not None and self.catalogue is not None:
            tensors |= {
                "whitening": self.space.whitening,
                "centre": self.space.centre,
                "spread": self.space.spread,
                "means": self.catalogue.means,
                "counts": self.catalogue.counts,
            }
        save_file(tensors, file)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what `save` wrote."""
        with safe_open(file, framework="numpy") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
        space = catalogue = None
        if "whitening" in tensors:
            space = Space(whitening=tensors["whitening"], centre=tensors["centre"], spread=tensors["spread"])
            catalogue = Groups(tensors["means"], tensors["counts"])
        characters = Rarity(tensors["buckets"], tensors["weights"], float(tensors["unseen"][0]))
        least_cosine, precision, least_margin = tensors["numbers"].tolist()
        return cls(
            least_cosine=least_cosine,
            precision=precision,
            examples=tensors["examples"],
            intents=tensors["intents"].astype(np.intp),
            characters=characters,
            space=space,
            catalogue=catalogue,
            least_margin=least_margin,
        )


def group(whitened: npt.NDArray[np.float32], members: Sequence[int] | npt.NDArray[np.intp], groups: int) -> Groups:
    """Return the groups of texts.

    Args:
        whitened: Shape (texts, width).
        members: Shape (texts,): which group each belongs to.
        groups: How many there are; each has a text.
    """
    rows = np.asarray(members, np.intp)
    counts = np.bincount(rows, minlength=groups).astype(np.float32)
    sums = np.zeros((groups, whitened.shape[1]), np.float32)
    np.add.at(sums, rows, whitened)
    return Groups(sums / counts[:, None], counts)
