"""`intentstream train` makes a release that serves what the network says, on a machine that has no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from structlog.testing import capture_logs

from models.calibration import softmax
from models.catalogue import load_catalogue
from models.distilbert import (
    BLEND_FILE,
    FP32_FILE,
    GOLDEN_FILE,
    HELD_OUT_FILE,
    LABELS_FILE,
    TIER_FILE,
    DistilbertModel,
    open_session,
)
from models.labels import Labels
from models.policy import TierPolicy
from models.release import make_release, read_release
from models.session import TokenSession
from models.tokens import TextTokenizer, padded
from models.training.corpus import read_corpus
from models.training.recipe import Recipe
from tests.kit.tiny_base import write_tiny_base

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

torch = pytest.importorskip("torch", reason="needs the extra `train`: `uv sync --extra train`")
pytestmark = pytest.mark.train

from models.training.distilbert import Training  # noqa: E402 - imports torch

CATALOGUE = """
name: shop
intents:
  - name: order_status
    examples: [where is my parcel, where is my order]
  - name: refund
    examples: [i want my money back, refund my order]
  - name: music
    examples: [play some music, play a song]
out_of_scope: [how tall is it]
"""
TURNS = 50
FP32_NOISE = 1e-4
"""Of two ways through the same network: few texts make a steep head, which magnifies the last digits."""

LABELS = ("order_status", "refund", "music")
SAID = {
    "order_status": ("where is my parcel please", "is my order here", "my parcel", "where is the order now"),
    "refund": ("money back please", "refund", "my money", "refund my money now"),
    "music": ("play a song please", "some music", "song", "music please now"),
    None: ("who are you", "tell me", "what time is it", "is it"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a release, and the catalogue it is for."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "catalogue.yaml").write_text(CATALOGUE)
    for name in ("data", "base"):
        (folder / name).mkdir()
    write_tiny_base(folder / "base")
    for name, chosen in (("train", slice(0, 3)), ("val", slice(2, 3)), ("test", slice(3, 4))):
        # Each text often, so that there are enough to fit by.
        texts = [
            (f"{text}{' now' * turn}", intent)
            for intent, said in SAID.items()
            for text in said[chosen]
            for turn in range(TURNS)
        ]
        lines = [json.dumps({"text": text, "intent": intent}) for text, intent in texts]
        (folder / "data" / f"{name}.jsonl").write_text("\n".join(lines))
    make(folder, folder / "state" / "models" / "distilbert")
    return folder


def make(trained: Path, release: Path, *, refit: bool = True) -> Path:
    """Train, and return the release."""
    catalogue = load_catalogue(trained / "catalogue.yaml")
    training = Training(
        catalogue,
        read_corpus(catalogue, trained / "data"),
        base=str(trained / "base"),
        recipe=Recipe(epochs=2, learning_rate=2e-3, refit=refit),
        seed=3,
        threads=1,
        observe=lambda _: None,
    )
    work = trained / f"work-{release.name}"
    work.mkdir()
    make_release(release, lambda made: training.write(made, work, lambda _: None))
    return release


@pytest.fixture(scope="module")
def release(trained: Path) -> Path:
    return trained / "state" / "models" / "distilbert"


def reference(release: Path, texts: list[str]) -> npt.NDArray[np.float32]:
    """Return what transformers says of the release's own weights, with torch."""
    from transformers import DistilBertForSequenceClassification  # noqa: PLC0415 - an optional extra

    network: Any = DistilBertForSequenceClassification.from_pretrained(release).eval()
    batch = padded(TextTokenizer(release / "tokenizer.json").ids(texts))
    with torch.inference_mode():
        read = {"input_ids": torch.from_numpy(batch.ids), "attention_mask": torch.from_numpy(batch.mask)}
        logits: npt.NDArray[np.float32] = network(**read).logits.numpy()
    return logits


def test_its_manifest_says_where_it_came_from_and_how_good_it_was_found(trained: Path, release: Path) -> None:
    told = read_release(release).provenance
    assert told.base == str(trained / "base")
    assert told.catalogue == load_catalogue(trained / "catalogue.yaml").digest
    assert (told.seed, told.recipe["epochs"]) == (3, 2)
    assert {"validation_accuracy", "test_in_scope_accuracy", "test_oos_auroc", "test_oos_recall"} <= told.metrics.keys()


def test_it_says_from_what_probability_on_a_text_is_out_of_scope(release: Path) -> None:
    tier = msgspec.json.decode((release / TIER_FILE).read_bytes(), type=TierPolicy)
    assert 0 < tier.out_of_scope < 1
    assert 0.5 < tier.accuracy <= 1
    assert TIER_FILE in read_release(release).files


def test_thresholds_are_fitted_to_what_it_said_before_it_learnt_the_validation_texts(
    trained: Path, release: Path
) -> None:
    corpus = read_corpus(load_catalogue(trained / "catalogue.yaml"), trained / "data")
    served = DistilbertModel(release, LABELS, threads=1)
    stand_in = served.stand_in()
    held_out, others = corpus.validation.texts[:20], ["a text of nobody's", "another"]
    said = stand_in.predict([*others[:1], *held_out, *others[1:]])
    np.testing.assert_allclose(said[[0, -1]], served.predict(others), atol=1e-6)
    assert not np.array_equal(said[1:-1], served.predict(held_out))  # its twin's
    assert HELD_OUT_FILE in read_release(release).files


def test_it_learns_the_validation_texts_in_the_end_unless_it_is_told_not_to(trained: Path, release: Path) -> None:
    corpus = read_corpus(load_catalogue(trained / "catalogue.yaml"), trained / "data")
    assert set(corpus.validation.texts) <= set(corpus.all_but_test.texts)
    assert corpus.test is not None
    assert set(corpus.test.texts).isdisjoint(corpus.all_but_test.texts)
    plain = make(trained, trained / "plain", refit=False)
    assert not (plain / HELD_OUT_FILE).exists()
    likely = []
    for folder in (plain, release):
        logits = open_session(folder, threads=1).run(corpus.validation.texts)
        likely.append(softmax(logits)[np.arange(len(logits)), corpus.validation.truth].mean())
    assert likely[0] < likely[1]
    model = DistilbertModel(plain, LABELS, threads=1)
    assert model.stand_in() is model


def test_its_logits_are_those_of_transformers(release: Path) -> None:
    texts = [text for said in SAID.values() for text in said]
    wanted = reference(release, texts)
    fp32 = TokenSession(release / FP32_FILE, release / "tokenizer.json", threads=1)
    largest = np.abs(wanted).max()
    np.testing.assert_allclose(fp32.run(texts), wanted, atol=FP32_NOISE * largest)
    np.testing.assert_allclose(open_session(release, threads=1).run(texts), wanted, atol=0.2 * largest)


def test_probabilities_are_over_the_catalogue_and_out_of_scope(release: Path) -> None:
    rows = DistilbertModel(release, LABELS, threads=1).predict(["where is my order", "play a song"])
    assert rows.shape == (2, 4)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    turned = DistilbertModel(release, LABELS[::-1], threads=1).predict(["where is my order", "play a song"])
    np.testing.assert_allclose(turned[:, [2, 1, 0, 3]], rows, atol=1e-5)


def test_int8_that_strays_from_the_golden_logits_is_refused(release: Path, tmp_path: Path) -> None:
    for file in release.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / GOLDEN_FILE).unlink()
    save_file({"logits": -load_file(release / GOLDEN_FILE)["logits"]}, tmp_path / GOLDEN_FILE)
    texts = ["where is my order"]
    with capture_logs() as logged:
        served = open_session(tmp_path, threads=1).run(texts)
    assert [line["event"] for line in logged] == ["distilbert_int8_refused"]
    wanted = reference(release, texts)
    np.testing.assert_allclose(served, wanted, atol=FP32_NOISE * np.abs(wanted).max())


def test_its_labels_file_serves_those_who_serve_the_network_alone(release: Path) -> None:
    labels = msgspec.json.decode((release / LABELS_FILE).read_bytes(), type=Labels)
    assert labels.labels == (*LABELS, None)
    assert labels.temperature > 0
    assert (release / BLEND_FILE).is_file()


def test_serving_it_imports_neither_torch_nor_transformers(trained: Path) -> None:
    """Both are installed here, and still they are not imported."""
    code = f"""
import sys
from pathlib import Path
from models.catalogue import load_catalogue
from models.preparation import Preparation
from schemas.settings import Settings
catalogue = load_catalogue(Path({str(trained / "catalogue.yaml")!r}))
model = Preparation(Settings(state_folder=Path({str(trained / "state")!r})), catalogue).distilbert()
print(model.predict(["where is my order"]).shape, sorted({{"torch", "transformers"}} & sys.modules.keys()))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert ran.stdout.splitlines()[-1] == "(1, 4) []", ran.stderr
