"""The fine-tuned tier serves a release whose labels are the catalogue's, and says why it serves no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.distilbert import DistilbertModel
from models.prediction import TierUnavailableError
from tests.kit.word_release import write_release

if TYPE_CHECKING:
    from pathlib import Path


def test_its_labels_become_the_catalogues_columns(tmp_path: Path) -> None:
    write_release(tmp_path, ["refund", None, "greeting"])
    model = DistilbertModel(tmp_path, ("greeting", "refund"), threads=1)
    rows = model.predict(["hello", "refund", "a riddle for you"])
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    assert rows.argmax(axis=1).tolist() == [1, 2, 0]


def test_without_out_of_scope_among_its_labels_nothing_is(tmp_path: Path) -> None:
    write_release(tmp_path, ["greeting", "refund"])
    rows = DistilbertModel(tmp_path, ("greeting", "refund"), threads=1).predict(["hello"])
    assert rows[0, 0] > 0.9
    assert rows[0, 2] == 0


def test_without_a_release_it_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TierUnavailableError, match="no release"):
        DistilbertModel(tmp_path, ("greeting",), threads=1)


@pytest.mark.parametrize("labels", [("greeting",), ("greeting", "refund", "cancel"), ("greeting", "cancel")])
def test_another_catalogues_release_is_not_served(tmp_path: Path, labels: tuple[str, ...]) -> None:
    write_release(tmp_path, ["greeting", "refund", None])
    with pytest.raises(TierUnavailableError, match="another catalogue"):
        DistilbertModel(tmp_path, labels, threads=1)
