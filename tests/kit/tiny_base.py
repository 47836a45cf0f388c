"""A DistilBERT small enough to train in a test: two layers, random weights, a vocabulary of a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import Tokenizer, models, pre_tokenizers, processors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORDS = ("where", "is", "my", "parcel", "order", "refund", "money", "back", "play", "some", "music", "song", "please")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def write_tiny_base(folder: Path) -> Path:
    """Write it as transformers does, and return the folder."""
    import torch  # noqa: PLC0415 - an optional extra
    from transformers import DistilBertConfig, DistilBertModel  # noqa: PLC0415 - likewise

    write_tiny_tokenizer(folder, WORDS)
    torch.manual_seed(0)
    sizes = {"vocab_size": len(SPECIAL) + len(WORDS), "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4}
    DistilBertModel(DistilBertConfig(max_position_embeddings=128, **sizes)).save_pretrained(folder)
    return folder


def write_tiny_tokenizer(folder: Path, words: Sequence[str]) -> None:
    """Write a tokenizer that knows these words, the first having the number after the last of `SPECIAL`."""
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - an optional extra

    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    begin, end = ("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])
    tokenizer.post_processor = processors.BertProcessing(end, begin)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)  # noqa: S106 - likewise
