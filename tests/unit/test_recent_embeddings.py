"""Whoever is asked about a text right after somebody else costs no second embedding; and nothing is kept for nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from models.recent_embeddings import RecentEmbeddings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class Counted:
    """An encoder in which a text is its length."""

    precision = "fp32"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked += texts
        return np.array([[len(text), 1.0] for text in texts], np.float32)


def test_nothing_is_remembered_until_somebody_is_to_be_asked_again() -> None:
    encoder = Counted()
    recent = RecentEmbeddings(cast("Any", encoder))
    for _ in range(2):
        assert recent.embed(["a", "bb"])[:, 0].tolist() == [1, 2]
    assert encoder.asked == ["a", "bb", "a", "bb"]


def test_the_latest_are_embedded_once_and_come_in_the_order_in_which_they_are_asked_for() -> None:
    encoder = Counted()
    recent = RecentEmbeddings(cast("Any", encoder))
    recent.keep(3)
    recent.embed(["a", "bb", "a"])
    assert recent.embed(["ccc", "a", "bb"])[:, 0].tolist() == [3, 1, 2]
    assert encoder.asked == ["a", "bb", "ccc"]
    recent.embed(["dddd"])
    recent.embed(["a"])
    assert encoder.asked[3:] == ["dddd", "a"]


def test_when_nobody_is_asked_any_more_all_is_forgotten() -> None:
    encoder = Counted()
    recent = RecentEmbeddings(cast("Any", encoder))
    recent.keep(3)
    recent.embed(["a"])
    recent.keep(0)
    recent.keep(3)
    recent.embed(["a"])
    assert encoder.asked == ["a", "a"]
