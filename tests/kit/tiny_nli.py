"""An NLI model of two layers, taught on the spot that a text with a topic's word is about that topic, and no other."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.kit.tiny_base import SPECIAL, write_tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOPICS = ("parcel", "refund", "music")
_OTHER = ("where", "is", "my", "please", "now", "the")
_ELSE = "something else"
_HYPOTHESIS = ("This", "text", "is", "about", ".", "something", "else")
WORDS = tuple(dict.fromkeys((*TOPICS, *_OTHER, *_HYPOTHESIS)))
LABELS = ("contradiction", "neutral", "entailment")

_STEPS, _BATCH, _RATE, _INIT = 500, 64, 2e-3, 0.1


def write_tiny_nli(folder: Path, *, labels: Sequence[str] = LABELS, steps: int = _STEPS) -> Path:
    """Write it as transformers does, and return the folder; with 0 steps, it has learnt nothing."""
    import torch  # noqa: PLC0415 - an optional extra
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification  # noqa: PLC0415 - likewise

    folder.mkdir(parents=True, exist_ok=True)
    write_tiny_tokenizer(folder, WORDS)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    network = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(SPECIAL) + len(WORDS),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            initializer_range=_INIT,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            id2label=dict(enumerate(labels)),
            label2id={label: place for place, label in enumerate(labels)},
        )
    )
    texts, hypotheses, truth = _pairs(steps * _BATCH)
    tokens = {"labels": torch.tensor(truth)}
    if texts:
        tokens |= tokenizer(texts, hypotheses, padding=True, return_tensors="pt")
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    for begin in range(0, len(texts), _BATCH):
        loss = network(**{name: rows[begin : begin + _BATCH] for name, rows in tokens.items()}).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.save_pretrained(folder)
    return folder


def _pairs(number: int) -> tuple[list[str], list[str], list[int]]:
    """Return texts, hypotheses and which of the labels is right: the last where the one is about the other."""
    chance = random.Random(0)  # noqa: S311 - no secret
    texts, hypotheses, truth = [], [], []
    for _ in range(number):
        topic, asked = chance.choice((*TOPICS, _ELSE)), chance.choice((*TOPICS, _ELSE))
        asked = topic if chance.random() < 0.5 else asked
        said = [*chance.choices(_OTHER, k=chance.randint(1, 4)), *([] if topic == _ELSE else [topic])]
        texts.append(" ".join(chance.sample(said, len(said))))
        hypotheses.append(f"This text is about {asked}.")
        truth.append(len(LABELS) - 1 if asked == topic else 0)
    return texts, hypotheses, truth
