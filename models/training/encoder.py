"""Prepares the encoder's files: graph, int8 graph, tokenizer, and the golden vectors that int8 is held against."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import onnx
from safetensors.numpy import save_file

from models.catalogue import default_catalogue_path, load_catalogue
from models.encoder import FP32_FILE, GOLDEN_FILE, GOLDEN_SENTENCES, INT8_FILE, TOKENIZER_FILE, Encoder
from models.minilm import build_graph
from models.tokens import TextTokenizer
from models.training.examples import examples_of
from models.training.quantisation import quantise
from models.weights import weights_folder

if TYPE_CHECKING:
    from pathlib import Path


def make_encoder(folder: Path) -> None:
    """Write the files into the folder.

    Raises:
        UnavailableError: The weights are not installed.
    """
    weights = weights_folder()
    shutil.copyfile(weights / "tokenizer.json", folder / TOKENIZER_FILE)
    onnx.save(build_graph(weights), folder / FP32_FILE)
    texts = (*examples_of(load_catalogue(default_catalogue_path())).texts, *GOLDEN_SENTENCES)
    quantise(folder / FP32_FILE, folder / INT8_FILE, TextTokenizer(folder / TOKENIZER_FILE).ids(texts))
    golden = Encoder(folder, "fp32", threads=1).embed(GOLDEN_SENTENCES)
    save_file({"embeddings": golden}, folder / GOLDEN_FILE)
