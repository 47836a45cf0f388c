"""What an NLI model is asked, what becomes of its scores, and what is said where it cannot be had; without torch."""

from __future__ import annotations

import importlib.util
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models.catalogue import Catalogue, Intent
from models.classifier import Classifier
from models.nli import NliModel, hypotheses_of
from models.nli_pipeline import open_pipeline
from models.preparation import Announced, Preparation
from models.router import DISTILBERT, ZERO_SHOT, route
from models.training.nli import fit_nli_temperature
from schemas.errors import UnavailableError
from schemas.settings import Settings
from schemas.strategies import Strategy
from schemas.zero_shot import ZeroShot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STANDARD = route(Strategy.STANDARD, distilbert=False, zero_shot=True)
ASKED = ZeroShot(backend="nli", model="nli")
CATALOGUE = Catalogue(
    name="shop",
    intents=(
        Intent(name="orderStatus", examples=("where is it", "track it", "has it come")),
        Intent(name="refund", description=" Wants money back. ", examples=("money back",)),
    ),
    out_of_scope=("a riddle", "a song"),
)


class Sure:
    """A pipeline that finds one hypothesis of each text as likely as it is told, and the others equally unlikely.

    Args:
        hypothesis: That it finds where nothing else is said.
        score: Of what it finds.
        known: By text, what it finds.
    """

    def __init__(self, hypothesis: str, score: float, known: Mapping[str, str] = MappingProxyType({})) -> None:
        self.asked: list[str] = []
        self._hypothesis = hypothesis
        self._score = score
        self._known = known

    def __call__(
        self,
        sequences: list[str],
        *,
        candidate_labels: list[str],
        hypothesis_template: str,
        multi_label: bool,
        batch_size: int,
    ) -> list[dict[str, Any]]:
        assert (hypothesis_template, multi_label, batch_size) == ("{}", False, 8)
        assert all(sequences), "transformers refuses an empty text"
        self.asked += sequences
        return [self._answer(text, candidate_labels) for text in sequences]

    def _answer(self, text: str, labels: list[str]) -> dict[str, Any]:
        rest = (1 - self._score) / (len(labels) - 1)
        found = self._known.get(text, self._hypothesis)
        best_first = sorted(((self._score if label == found else rest, label) for label in labels), reverse=True)
        return {"labels": [label for _, label in best_first], "scores": [score for score, _ in best_first]}


def settings_of(folder: Path, **asked: object) -> Settings:
    return Settings(state_folder=folder, zero_shot=ZeroShot(backend="nli", **{"model": str(folder / "nli"), **asked}))


def test_a_description_is_held_against_a_text_as_it_is_and_a_name_in_the_template() -> None:
    told = hypotheses_of(CATALOGUE, ASKED)
    assert told == ("This text is about order status.", "Wants money back.", "This text is about something else.")
    german = ASKED.model_copy(update={"hypothesis": "Es geht um {}.", "out_of_scope": "etwas anderes"})
    assert hypotheses_of(CATALOGUE, german)[::2] == ("Es geht um order status.", "Es geht um etwas anderes.")


def test_scores_become_rows_in_the_catalogues_order() -> None:
    rows = NliModel(Sure("c", 0.5), ["a", "b", "c"], max_batch=8).predict(["where is it", ""])
    np.testing.assert_allclose(rows, [[0.25, 0.25, 0.5]] * 2, atol=1e-6)
    assert rows.dtype == np.float32


def test_intents_of_which_the_same_is_said_are_equally_likely() -> None:
    [row] = NliModel(Sure("c", 0.8), ["a", "c", "a", "b"], max_batch=8).predict(["where is it"])
    assert row[0] == row[2]
    assert row.sum() == pytest.approx(1)


def test_asked_nothing_it_says_nothing() -> None:
    assert NliModel(Sure("a", 0.9), ["a", "b"], max_batch=8).predict([]).shape == (0, 2)


def test_examples_that_contradict_it_make_it_less_sure() -> None:
    told = hypotheses_of(CATALOGUE, ASKED)
    model = NliModel(Sure(told[0], 0.98), told, max_batch=8)
    temperature = fit_nli_temperature(model, CATALOGUE, most=100)
    [row] = model.told(told, temperature).predict(["where is it"])
    assert row[0] == pytest.approx(3 / 7, abs=0.01), "of six examples three are of what it always finds, and one counts"


def test_examples_that_it_is_right_about_make_it_no_surer_than_so_many_can() -> None:
    told = hypotheses_of(CATALOGUE, ASKED)
    known = {"money back": told[1], "a riddle": told[2], "a song": told[2]}
    model = NliModel(Sure(told[0], 0.6, known), told, max_batch=8)
    temperature = fit_nli_temperature(model, CATALOGUE, most=100)
    [row] = model.told(told, temperature).predict(["where is it"])
    assert row[0] == pytest.approx(6 / 7, abs=0.01)


def test_no_more_examples_are_asked_about_than_was_said_and_of_each_intent_as_many() -> None:
    pipeline = Sure("a", 0.5)
    fit_nli_temperature(NliModel(pipeline, ["a", "b", "c"], max_batch=8), CATALOGUE, most=4)
    assert pipeline.asked == ["where is it", "money back", "a riddle", "track it"]


@pytest.mark.parametrize(
    ("catalogue", "most"), [(CATALOGUE, 0), (Catalogue(name="bare", intents=(Intent(name="a"), Intent(name="b"))), 100)]
)
def test_without_examples_it_is_taken_at_its_word(catalogue: Catalogue, most: int) -> None:
    pipeline = Sure("a", 0.5)
    assert fit_nli_temperature(NliModel(pipeline, ["a", "b", "c"], max_batch=8), catalogue, most=most) == 1.0
    assert pipeline.asked == []


def test_a_folder_that_holds_no_model_is_named_with_what_to_do(tmp_path: Path) -> None:
    asked = ZeroShot(backend="nli", model=str(tmp_path / "nowhere"))
    with pytest.raises(UnavailableError, match=r"nowhere is no folder of a model.*INTENTSTREAM_ZERO_SHOT__REVISION"):
        open_pipeline(asked, threads=1)


def test_without_torch_it_says_how_to_install_it() -> None:
    if importlib.util.find_spec("torch"):
        pytest.skip("torch is installed here")
    with pytest.raises(UnavailableError, match=r"needs torch and transformers.*uv sync --extra nli"):
        open_pipeline(ZeroShot(backend="nli", model="a/b", revision="0" * 40), threads=1)


async def test_where_it_cannot_be_had_the_chain_answers_without_it_and_says_why(tmp_path: Path) -> None:
    async with Classifier(settings_of(tmp_path), CATALOGUE, share=False) as classifier:
        await classifier.loaded()
        [answer] = await classifier.classify(["track it"], STANDARD)
        assert "is no folder of a model" in (classifier.tiers[ZERO_SHOT].missing or "")
        assert classifier.surroundings is not None, "corrections need embeddings all the same"
    assert (answer.intent, answer.tier) == ("orderStatus", "rules")


def test_what_answers_is_part_of_what_a_release_is_called_by(tmp_path: Path) -> None:
    folder = tmp_path / "nli"
    folder.mkdir()

    def base(settings: Settings) -> str:
        return Preparation(settings, CATALOGUE).base

    names = [base(Settings(state_folder=tmp_path)), base(settings_of(tmp_path))]
    (folder / "config.json").write_text("{}")
    names.append(base(settings_of(tmp_path)))
    (folder / "model.safetensors").write_text("weights")
    names.append(base(settings_of(tmp_path)))
    names.append(base(settings_of(tmp_path, out_of_scope="no such thing")))
    names += [base(settings_of(tmp_path, model="a/b", revision=digit * 40)) for digit in "01"]
    assert len(set(names)) == len(names)
    assert base(settings_of(tmp_path, model="a/b", revision="0" * 40)) == names[-2]


async def test_a_head_that_was_announced_does_not_serve_in_its_place(tmp_path: Path) -> None:
    announced = Announced(zero_shot=tmp_path / "head")
    classifier = Classifier(settings_of(tmp_path), CATALOGUE, announced=announced, share=False)
    assert classifier.preparation.release == Preparation(settings_of(tmp_path), CATALOGUE).base
    assert classifier.stood_in_for(ZERO_SHOT) == "an NLI model"
    assert classifier.stood_in_for(DISTILBERT) is None
    await classifier.close()
