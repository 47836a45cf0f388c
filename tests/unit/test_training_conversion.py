"""MiniLM as a DistilBERT is the same network, and so is a DistilBERT classifier as the graph that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file

from models.minilm import Shape, build_classifier_graph, build_graph
from models.tokens import TextTokenizer, padded
from models.training.conversion import bert_weights
from models.training.network import CONFIG_FILE, TOKENIZER_FILE, converted
from models.weights import WEIGHTS_FILE, weights_folder

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx

torch = pytest.importorskip("torch", reason="needs the extra `train`: `uv sync --extra train`")
pytestmark = pytest.mark.train

TEXTS = (
    "ok",
    "where is my parcel?",
    "please move my dentist appointment from tuesday to thursday afternoon, and tell me when it is done",
    "¿dónde está la estación?",
)


@pytest.fixture(scope="module")
def shape() -> Shape:
    return msgspec.json.decode((weights_folder() / CONFIG_FILE).read_bytes(), type=Shape)


@pytest.fixture(scope="module")
def network(shape: Shape) -> object:
    torch.manual_seed(0)
    names = {"id2label": dict(enumerate("abc")), "label2id": {}}
    return converted(shape, load_file(weights_folder() / WEIGHTS_FILE), names, pooled=True).eval()


def tokens() -> dict[str, npt.NDArray[np.int64]]:
    batch = padded(TextTokenizer(weights_folder() / TOKENIZER_FILE).ids(TEXTS))
    return {"input_ids": batch.ids, "attention_mask": batch.mask}


def run(graph: onnx.ModelProto) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    rows: npt.NDArray[np.float32] = session.run(None, tokens())[0]
    return rows


def test_converted_it_says_of_every_token_what_minilm_says(network: object) -> None:
    read = {name: torch.from_numpy(array) for name, array in tokens().items()}
    with torch.inference_mode():
        # What stands before the added layer.
        states = network.distilbert(**read, output_hidden_states=True).hidden_states[-2]  # type: ignore[attr-defined] # transformers is untyped
    mask = read["attention_mask"][:, :, None]
    embeddings = torch.nn.functional.normalize((states * mask).sum(dim=1)).numpy()
    np.testing.assert_allclose(embeddings, run(build_graph(weights_folder())), atol=1e-5)


def test_the_head_reads_the_mean_of_all_tokens(network: object) -> None:
    read = {name: torch.from_numpy(array) for name, array in tokens().items()}
    with torch.inference_mode():
        first = network.distilbert(**read).last_hidden_state[:, 0]  # type: ignore[attr-defined] # transformers is untyped
    cosines = (torch.nn.functional.normalize(first).numpy() * run(build_graph(weights_folder()))).sum(axis=1)
    assert cosines.min() > 0.98


def test_the_graph_says_of_every_text_what_transformers_says(network: object, shape: Shape) -> None:
    read = {name: torch.from_numpy(array) for name, array in tokens().items()}
    with torch.inference_mode():
        logits = network(**read).logits.numpy()  # type: ignore[operator] # transformers is untyped
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}  # type: ignore[attr-defined]
    deeper = msgspec.structs.replace(shape, num_hidden_layers=shape.num_hidden_layers + 1)
    graph = build_classifier_graph(deeper, bert_weights(weights, deeper.num_hidden_layers))
    np.testing.assert_allclose(run(graph), logits, atol=1e-5)
