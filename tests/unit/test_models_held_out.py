"""What a release said of texts before it learnt them is kept with it, without the texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.held_out import HeldOut

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from models.prediction import Probabilities

TEXTS = ["where is my parcel", "¿dónde está?", ""]


class Constant:
    """Says the same of every text, and remembers which it was asked for."""

    def __init__(self, *row: float) -> None:
        self._row = np.array(row, np.float32)
        self.asked: list[str] = []

    def predict(self, texts: Sequence[str]) -> Probabilities:
        self.asked += texts
        return np.tile(self._row, (len(texts), 1))


def test_it_says_what_the_twin_said_and_asks_the_release_of_other_texts(tmp_path: Path) -> None:
    file = tmp_path / "held_out.safetensors"
    HeldOut.asked(Constant(0.25, 0.75), TEXTS).save(file)
    release = Constant(1.0, 0.0)
    said = HeldOut.load(file).in_place_of(release).predict(["new", *TEXTS, "newer"])
    assert said[:, 0].tolist() == [1.0, 0.25, 0.25, 0.25, 1.0]
    assert release.asked == ["new", "newer"]
    assert HeldOut.load(file).in_place_of(release).predict(TEXTS).shape == (3, 2)
    assert b"parcel" not in file.read_bytes()
