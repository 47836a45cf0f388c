"""The network that is fine-tuned: transformers' own DistilBERT classifier, from weights that are here or on a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
from safetensors.numpy import load_file

from models.minilm import Shape
from models.torch_extra import require_torch
from models.training.conversion import distilbert_config, distilbert_weights, pooling_layer
from models.weights import WEIGHTS_FILE, weights_folder
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from models.minilm import Weights

MINILM = "minilm"
"""The base that comes as a package; any other is a hub's name or a folder."""

CONFIG_FILE, TOKENIZER_FILE = "config.json", "tokenizer.json"


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """Where fine-tuning starts.

    Attributes:
        network: A `transformers.DistilBertForSequenceClassification` whose head is new.
        tokenizer: Its `tokenizer.json`.
    """

    network: Any
    tokenizer: Path


def base_network(base: str, labels: tuple[str, ...], *, seed: int, folder: Path) -> Base:
    """Return a classifier of these labels on a base's weights.

    Args:
        base: `minilm`, or a DistilBERT's name on a hub or its folder.
        labels: What its logits stand for, in order.
        seed: Of the head's weights.
        folder: Where to put a hub's tokenizer.

    Raises:
        UnavailableError: torch or the weights are not there.
    """
    require_torch("Training", "train")
    import torch  # noqa: PLC0415 - an optional extra
    from transformers.utils import logging  # noqa: PLC0415 - likewise

    logging.set_verbosity_error()  # it would report that the head is new
    logging.disable_progress_bar()
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: place for place, label in enumerate(labels)},
        # transformers' own 0.2 is for heads that begin at random (`models.training.warm_head`).
        "seq_classif_dropout": 0.1,
    }
    return _from_minilm(settings) if base == MINILM else _from_hub(base, settings, folder)


def trained_network(folder: Path) -> torch.nn.Module:
    """Return the classifier of a release, head and all.

    Raises:
        UnavailableError: torch is not there, or the release holds no weights that can be trained.
    """
    require_torch("Training", "train")
    from transformers import DistilBertForSequenceClassification  # noqa: PLC0415 - an optional extra
    from transformers.utils import logging  # noqa: PLC0415 - likewise

    logging.disable_progress_bar()
    try:
        network = DistilBertForSequenceClassification.from_pretrained(folder, use_safetensors=True)
    except OSError as error:
        raise UnavailableError(f"The release in {folder} holds no weights that can be trained: {error}") from error
    return cast("torch.nn.Module", network)


def _from_minilm(settings: dict[str, Any]) -> Base:
    folder = weights_folder()
    shape = msgspec.json.decode((folder / CONFIG_FILE).read_bytes(), type=Shape)
    network = converted(shape, load_file(folder / WEIGHTS_FILE), settings, pooled=True)
    return Base(network=network, tokenizer=folder / TOKENIZER_FILE)


def converted(shape: Shape, bert: Weights, settings: dict[str, Any], *, pooled: bool) -> torch.nn.Module:
    """Return a BERT as a DistilBERT classifier; its head is drawn from torch's generator.

    Args:
        shape: The BERT's.
        bert: Its weights.
        settings: What `transformers.DistilBertConfig` is to be told besides.
        pooled: Whether one more layer puts the mean of all tokens at the first.
    """
    import torch  # noqa: PLC0415 - an optional extra
    from transformers import DistilBertConfig, DistilBertForSequenceClassification  # noqa: PLC0415 - likewise

    layers = shape.num_hidden_layers
    config, weights = distilbert_config(shape, bert), distilbert_weights(bert, layers)
    if pooled:
        config["n_layers"] = layers + 1
        weights |= pooling_layer(shape, config["hidden_dim"], layers)
    network = DistilBertForSequenceClassification(DistilBertConfig(**config, **settings))
    network.distilbert.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    return cast("torch.nn.Module", network)


def _from_hub(base: str, settings: dict[str, Any], folder: Path) -> Base:
    from transformers import AutoTokenizer, DistilBertForSequenceClassification  # noqa: PLC0415 - an optional extra

    try:
        network = DistilBertForSequenceClassification.from_pretrained(base, use_safetensors=True, **settings)
        AutoTokenizer.from_pretrained(base).backend_tokenizer.save(str(folder / TOKENIZER_FILE))
    except OSError as error:
        raise UnavailableError(f"The base {base} could not be loaded: {error}") from error
    return Base(network=network, tokenizer=folder / TOKENIZER_FILE)
