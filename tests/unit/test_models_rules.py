"""Patterns go before the lexical classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.catalogue import Catalogue, Intent
from models.rules import PATTERN_PROBABILITY, RulesModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.prediction import Probabilities

CATALOGUE = Catalogue(
    name="shop",
    intents=(
        Intent(name="order_status", patterns=(r"\border\s+#?\d+", r"tracking number")),
        Intent(name="refund", patterns=(r"money back",)),
        Intent(name="greeting"),
    ),
)


class Always:
    """A lexical classifier with one opinion."""

    temperature = 1.0

    def predict(self, texts: Sequence[str]) -> Probabilities:
        return np.array([[0.1, 0.3, 0.4, 0.2]] * len(texts), np.float32)


@pytest.fixture
def rules() -> RulesModel:
    return RulesModel(CATALOGUE, Always())


def test_a_pattern_decides_for_its_intent(rules: RulesModel) -> None:
    [row] = rules.predict(["where is order #4417"])
    assert row.argmax() == 0
    assert row[0] == pytest.approx(PATTERN_PROBABILITY + (1 - PATTERN_PROBABILITY) * 0.1, abs=1e-4)


def test_without_a_pattern_the_lexical_classifier_decides(rules: RulesModel) -> None:
    np.testing.assert_allclose(rules.predict(["good morning"]), [[0.1, 0.3, 0.4, 0.2]])


def test_between_patterns_of_two_intents_the_lexical_classifier_decides(rules: RulesModel) -> None:
    [row] = rules.predict(["money back for order 7"])
    assert row.argmax() == 1
    assert row[1] / row[0] == pytest.approx(3, rel=1e-3)


def test_two_patterns_of_one_intent_count_once(rules: RulesModel) -> None:
    once, twice = rules.predict(["order 7", "tracking number of order 7"])
    np.testing.assert_allclose(once, twice)


def test_rows_stay_probabilities(rules: RulesModel) -> None:
    rows = rules.predict(["order 7", "money back", "hello", "money back for order 7"])
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
