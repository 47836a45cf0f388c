"""Our graph is MiniLM, and the zero-shot tier makes intents of its embeddings.

`minilm_golden.json` holds what transformers' `AutoModel` says of the same weights: tokens truncated to 128, the last
hidden states' mean over the attention mask, scaled to length 1, in fp32 with torch on a CPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from structlog.testing import capture_logs

from models.catalogue import Catalogue, Intent
from models.encoder import GOLDEN_FILE, Encoder, open_encoder
from models.training.encoder import make_encoder
from models.training.zero_shot import make_head
from models.zero_shot import Head, ZeroShotModel
from tests.kit.waiting import wait_until

GOLDEN = json.loads((Path(__file__).with_name("minilm_golden.json")).read_text("utf-8"))
TEXTS = [golden["text"] for golden in GOLDEN]
EMBEDDINGS = np.array([golden["embedding"] for golden in GOLDEN], np.float32)

NAMES = ("order_status", "refund_request", "play_music", "weather_forecast")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    make_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return open_encoder(folder, threads=1)


def test_in_fp32_it_is_the_model_itself(folder: Path) -> None:
    embeddings = Encoder(folder, "fp32", threads=1).embed(TEXTS)
    np.testing.assert_allclose(embeddings, EMBEDDINGS, atol=1e-4)


def test_in_int8_it_is_near_the_model(folder: Path) -> None:
    cosines = (Encoder(folder, "int8", threads=1).embed(TEXTS) * EMBEDDINGS).sum(axis=1)
    assert cosines.min() > 0.98
    assert cosines.mean() > 0.99


def test_in_int8_a_text_says_the_same_in_any_company(folder: Path) -> None:
    int8 = Encoder(folder, "int8", threads=1)
    texts = [*TEXTS, *(f"{'very ' * (number % 9)}long text number {number}" for number in range(60))]
    alone = np.concatenate([int8.embed([text]) for text in texts])
    np.testing.assert_allclose(int8.embed(texts), alone, atol=1e-6)


def test_the_order_of_the_texts_is_kept_over_sub_batches(folder: Path) -> None:
    fp32 = Encoder(folder, "fp32", threads=1)
    texts = [f"{'very ' * (number % 7)}long text number {number}" for number in range(70)]
    np.testing.assert_allclose(fp32.embed(texts)[::23], fp32.embed(texts[::23]), atol=1e-5)


@pytest.mark.parametrize("texts", [1, 2, 3, 70])
def test_several_threads_say_what_one_says(folder: Path, texts: int) -> None:
    asked = [f"{'very ' * (number % 5)}long text number {number}" for number in range(texts)]
    one, three = (Encoder(folder, "fp32", threads=threads) for threads in (1, 3))
    np.testing.assert_allclose(three.embed(asked), one.embed(asked), atol=1e-5)


def test_an_encoder_that_is_dropped_takes_its_threads_along(folder: Path) -> None:
    before = helpers()
    encoder = Encoder(folder, "int8", threads=3)
    encoder.embed(TEXTS)
    own = helpers() - before
    assert len(own) == 2
    del encoder
    wait_until(lambda: own.isdisjoint(helpers()), "its threads have ended")


def helpers() -> set[threading.Thread]:
    """Return the threads that help to run a graph in int8."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("int8-")}


def test_nothing_is_left_in_the_home_folder(folder: Path, tmp_path: Path) -> None:
    opening = f"open_encoder(Path({str(folder)!r}), threads=1)"
    embed = f"from pathlib import Path; from models.encoder import open_encoder; {opening}"
    there = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", embed], check=True, env=there | {"HOME": str(tmp_path)}, timeout=120)
    assert list(tmp_path.iterdir()) == []


def test_int8_that_strays_from_the_golden_vectors_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / GOLDEN_FILE).unlink()
    save_file({"embeddings": -load_file(folder / GOLDEN_FILE)["embeddings"]}, tmp_path / GOLDEN_FILE)
    assert open_encoder(folder, threads=1).precision == "int8"
    with capture_logs() as logged:
        assert open_encoder(tmp_path, threads=1).precision == "fp32"
    assert [line["event"] for line in logged] == ["encoder_int8_refused"]


def test_names_alone_make_a_classifier(encoder: Encoder) -> None:
    model = ZeroShotModel(
        encoder,
        make_head(Catalogue(name="names", intents=tuple(Intent(name=name) for name in NAMES)), encoder),
    )
    texts = [
        "where is my parcel",
        "i want my money back",
        "put on some jazz",
        "will it rain tomorrow",
        "cells have walls",
    ]
    assert model.predict(texts).argmax(axis=1).tolist() == [0, 1, 2, 3, 4]


def test_a_description_says_what_a_name_does_not(encoder: Encoder) -> None:
    text = ["when does the next train leave"]
    bare = Catalogue(name="bare", intents=(Intent(name="t1"), Intent(name="t2")))
    told = Catalogue(
        name="told",
        intents=(
            Intent(name="t1", description="Asks for the departure times of trains and buses."),
            Intent(name="t2", description="Wants to change the language of the assistant."),
        ),
    )
    before, after = (ZeroShotModel(encoder, make_head(of, encoder)).predict(text)[0, 0] for of in (bare, told))
    assert after > max(before, 0.5)


def with_examples(*out_of_scope: str) -> Catalogue:
    return Catalogue(
        name="examples",
        intents=(
            Intent(name="a1", examples=("where is my parcel", "track my order", "has it been shipped")),
            Intent(name="a2", examples=("play some jazz", "put on a song", "i want to hear the beatles")),
        ),
        out_of_scope=out_of_scope,
    )


def test_examples_make_a_classifier_of_any_names(encoder: Encoder) -> None:
    model = ZeroShotModel(encoder, make_head(with_examples(), encoder))
    assert model.predict(["my package has not come", "start the music"]).argmax(axis=1).tolist() == [0, 1]


def test_out_of_scope_texts_teach_what_is_out_of_scope(encoder: Encoder) -> None:
    beyond = ("who is the president of france", "what is the square root of nine", "how tall is mount everest")
    model = ZeroShotModel(encoder, make_head(with_examples(*beyond), encoder))
    assert model.predict(["how deep is the pacific ocean"]).argmax() == 2


def test_rows_are_probabilities(encoder: Encoder) -> None:
    rows = ZeroShotModel(encoder, make_head(with_examples(), encoder)).predict(TEXTS)
    assert rows.shape == (len(TEXTS), 3)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_a_head_survives_being_saved_and_loaded(encoder: Encoder, tmp_path: Path) -> None:
    head = make_head(with_examples(), encoder)
    head.save(tmp_path / "head.safetensors")
    embeddings = encoder.embed(TEXTS)
    loaded = Head.load(tmp_path / "head.safetensors")
    np.testing.assert_array_equal(loaded.logits(embeddings), head.logits(embeddings))
    assert loaded.temperature == pytest.approx(head.temperature)
