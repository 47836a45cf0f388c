"""A model of natural-language inference, run by transformers, answers for the tier `zero_shot`; or is refused."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from infra.bench.nli import bench_nli
from models.catalogue import Catalogue, Intent
from models.classifier import Classifier
from models.local import LocalTier
from models.nli import NliModel, hypotheses_of
from models.nli_pipeline import open_pipeline
from models.router import ZERO_SHOT, route
from schemas.errors import UnavailableError
from schemas.settings import Models, Settings
from schemas.strategies import Strategy
from schemas.zero_shot import ZeroShot
from tests.kit.tiny_base import write_tiny_base
from tests.kit.tiny_nli import write_tiny_nli

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="needs the extra `nli`: `make install-train`")
pytestmark = pytest.mark.train

torch.set_num_threads(1)  # more would wait for each other longer than they compute

STANDARD = route(Strategy.STANDARD, distilbert=False, zero_shot=True)
CATALOGUE = Catalogue(
    name="shop",
    intents=(
        Intent(name="parcel", examples=("where is my parcel", "the parcel please")),
        Intent(name="refund", description="This text is about refund.", examples=("my refund now", "refund please")),
        Intent(name="music"),
    ),
    out_of_scope=("where is the",),
)
TEXTS = ("is the music my", "where is my parcel now", "please refund", "is my the now")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that knows what a text with the word of a topic is about."""
    return write_tiny_nli(tmp_path_factory.mktemp("nli") / "taught")


def asked_of(folder: Path) -> ZeroShot:
    return ZeroShot(backend="nli", model=str(folder))


def opened(folder: Path, *, max_batch: int = 8) -> NliModel:
    asked = asked_of(folder)
    return NliModel(open_pipeline(asked, threads=1), hypotheses_of(CATALOGUE, asked), max_batch=max_batch)


async def test_it_answers_for_the_tier_in_a_chain(taught: Path, tmp_path: Path) -> None:
    settings = Settings(state_folder=tmp_path, models=Models(threads=1), zero_shot=asked_of(taught))
    async with Classifier(settings, CATALOGUE, share=False) as classifier:
        await classifier.loaded()
        answers = await classifier.classify(["Please refund my", "is the music"], STANDARD)
        tier = classifier.tiers[ZERO_SHOT]
        assert isinstance(tier, LocalTier)
        assert isinstance(tier.model, NliModel)
        assert classifier.policy.tiers.keys() == {"rules", "zero_shot"}
        assert await classifier.faults() == {}
        assert classifier.surroundings is not None
    assert [(answer.intent, answer.tier) for answer in answers] == [("refund", "zero_shot"), ("music", "zero_shot")]


def test_its_rows_are_the_softmax_of_the_entailment_logits(taught: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415 - an optional extra

    rows = opened(taught).predict(TEXTS)
    network, tokenizer = (each.from_pretrained(taught) for each in (AutoModelForSequenceClassification, AutoTokenizer))
    told = list(hypotheses_of(CATALOGUE, asked_of(taught)))
    with torch.inference_mode():
        for text, row in zip(TEXTS, rows, strict=True):
            logits = network(**tokenizer([text] * len(told), told, padding=True, return_tensors="pt")).logits[:, 2]
            np.testing.assert_allclose(row, torch.softmax(logits, 0).numpy(), atol=1e-4)
    assert rows.argmax(axis=1).tolist() == [2, 0, 1, 3]


def test_what_it_says_of_a_text_does_not_depend_on_its_company(taught: Path) -> None:
    together = opened(taught).predict(TEXTS)
    alone = np.vstack([opened(taught, max_batch=1).predict([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_text_longer_than_it_has_positions_for_is_answered(taught: Path) -> None:
    model = opened(taught)
    np.testing.assert_array_equal(model.predict(["parcel " * 1_000]), model.predict(["parcel " * 64]))


def test_a_classifier_of_something_else_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_nli(tmp_path, labels=("negative", "positive"), steps=0)
    with pytest.raises(UnavailableError, match="its labels are negative, positive, and none begins with `entail`"):
        open_pipeline(asked_of(folder), threads=1)


def test_weights_that_are_no_classifiers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="lacks weights, such as classifier"):
        open_pipeline(asked_of(write_tiny_base(tmp_path)), threads=1)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    folder = write_tiny_nli(tmp_path, steps=0)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UnavailableError, match=r"could not be loaded.*safetensors"):
        open_pipeline(asked_of(folder), threads=1)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_nli(tmp_path, steps=0)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000])
    with pytest.raises(UnavailableError, match="could not be loaded"):
        open_pipeline(asked_of(folder), threads=1)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    folder = write_tiny_nli(tmp_path, steps=0)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "homemade", "auto_map": {"AutoConfig": "homemade.Homemade"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "homemade.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UnavailableError, match="could not be loaded"):
        open_pipeline(asked_of(folder), threads=1)
    assert not (tmp_path / "ran").exists()


def test_the_benchmark_measures_an_untrained_network_where_no_model_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("infra.bench.nli.INTENTS", (2,))
    settings = Settings(state_folder=tmp_path, models=Models(threads=1))
    report = bench_nli(settings, ["where is my parcel"], rounds=1, say=lambda _message: None)
    assert report.measures.keys() == {"ms_per_text_at_2_intents", "processor_ms_per_text_at_2_intents"}
    assert all(report.measures.values())
    assert "untrained" in report.notes[0]


def test_a_hub_that_cannot_be_reached_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    asked = ZeroShot(backend="nli", model="owner/nli", revision="0" * 40)
    with pytest.raises(
        UnavailableError, match=r"owner/nli could not be fetched from the hub.*put the model into a folder"
    ):
        open_pipeline(asked, threads=1)


def test_a_model_of_the_hub_that_was_fetched_before_serves_without_it(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    shutil.copytree(taught, tmp_path / "models--owner--nli" / "snapshots" / ("0" * 40))
    asked = ZeroShot(backend="nli", model="owner/nli", revision="0" * 40)
    model = NliModel(open_pipeline(asked, threads=1), hypotheses_of(CATALOGUE, asked), max_batch=8)
    np.testing.assert_array_equal(model.predict(TEXTS), opened(taught).predict(TEXTS))
