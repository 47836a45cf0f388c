"""A fine-tuned release small enough to be made in a test, of a shop with three intents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.catalogue import load_catalogue
from models.distilbert import DistilbertModel
from models.release import make_release
from models.training.corpus import read_corpus
from models.training.recipe import Recipe
from tests.kit.tiny_base import write_tiny_base

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
name: shop
intents:
  - name: order_status
    examples: [where is my parcel, where is my order, is my parcel back, is my order back]
  - name: refund
    examples: [i want my money back, refund my order, refund please, money back please]
  - name: music
    examples: [play some music, play a song, music please, some song please]
"""
LABELS = ("order_status", "refund", "music")
SONGS = tuple(
    f"{first} {second}"
    for first in ("song", "music", "some song", "some music", "play song", "play music")
    for second in ("refund", "money back", "my money", "refund please", "my refund", "money", "refund back")
)
"""What means music, and of which many a network that learnt the examples alone says refund."""


def mistaken(folder: Path) -> list[str]:
    """Return the songs that a release takes for something else."""
    said = DistilbertModel(folder, LABELS, threads=1).predict(SONGS).argmax(axis=1)
    return [song for song, column in zip(SONGS, said, strict=True) if LABELS[column] != "music"]


def write_tiny_network(work: Path) -> Path:
    """Train it on the shop's own examples, and return the release's folder; the catalogue is beside it, `shop.yaml`."""
    from models.training.distilbert import Training  # noqa: PLC0415 - imports torch

    (work / "shop.yaml").write_text(SHOP, "utf-8")
    catalogue = load_catalogue(work / "shop.yaml")
    (work / "base").mkdir()
    (work / "checkpoints").mkdir()
    training = Training(
        catalogue,
        read_corpus(catalogue, None),
        base=str(write_tiny_base(work / "base")),
        recipe=Recipe(epochs=30, patience_epochs=30, batch_texts=4, learning_rate=2e-3, refit=False),
        seed=0,
        threads=1,
        observe=lambda _: None,
    )
    folder = work / "distilbert"
    make_release(folder, lambda made: training.write(made, work / "checkpoints", lambda _: None))
    return folder
