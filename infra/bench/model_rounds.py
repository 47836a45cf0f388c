"""Tiers, strategies and peers asked in turn, round after round, over the same texts in the same shuffled order."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.evaluation import answer_all, judge, quality_measures
from models.text import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from infra.bench.bare_onnxruntime import BareEncoder
    from infra.bench.model_peers import Peers
    from models.classifier import Classifier
    from models.dataset import Labelled
    from models.encoder import Encoder
    from models.router import Route
    from models.rules import RulesModel

PER_SECOND = "utterances_per_second"
RULES, ENCODER, BARE = "rules", "encoder", "bare_onnxruntime"

_BATCH_TEXTS = 512
_DEAR_TEXTS = 2_048
"""A round of those that answer a thousand texts a second."""


class Competitors(NamedTuple):
    """Who is asked, beside the peers."""

    classifier: Classifier
    ways: Mapping[str, Route]
    """By the strategy's name."""
    rules: RulesModel
    encoder: Encoder
    bare: BareEncoder


class Rounds:
    """What was measured, a number a round and name.

    Args:
        texts: In the order in which they are asked.
        labels: The intents.
    """

    def __init__(self, texts: Labelled, labels: tuple[str, ...]) -> None:
        self._texts = texts
        self._labels = labels
        self._dear = texts.only(range(min(_DEAR_TEXTS, len(texts))))
        self.measures: defaultdict[str, list[float]] = defaultdict(list)

    async def run(self, competitors: Competitors, peers: Peers | None, names: tuple[str, ...], turn: int) -> None:
        """Ask everyone once.

        Args:
            competitors: Ours, and the bare loop.
            peers: The others; None: they are left out.
            names: Of the others.
            turn: Which round it is; the encoder and the bare loop take turns at being first.
        """
        self._ask_rules(competitors.rules)
        encoders = ((ENCODER, competitors.encoder.embed), (BARE, competitors.bare.embed))
        for name, embed in encoders if turn % 2 else encoders[::-1]:
            self._ask_encoder(name, embed)
        for name, way in competitors.ways.items():
            await self._ask_chain(name, competitors.classifier, way)
        if peers is not None:
            for name in names:
                self._ask_peer(name, peers)

    def _ask_rules(self, rules: RulesModel) -> None:
        """Ask the rules alone as the chain does: what was said, in batches."""
        said = self._texts.texts
        batches = [said[start : start + _BATCH_TEXTS] for start in range(0, len(said), _BATCH_TEXTS)]
        begun = time.perf_counter()
        rows = [rules.predict([normalise(text) for text in batch]) for batch in batches]
        self._note_speed(RULES, len(said), begun)
        truth = self._texts.columns(self._labels)
        inside = truth < len(self._labels)
        right = np.concatenate(rows)[inside, :-1].argmax(axis=1) == truth[inside]
        self.measures[f"{RULES}_in_scope_accuracy"].append(float(right.mean()))

    def _ask_encoder(self, name: str, embed: Callable[[list[str]], npt.NDArray[np.float32]]) -> None:
        said = [normalise(text) for text in self._dear.texts]
        begun = time.perf_counter()
        embed(said)
        self._note_speed(name, len(said), begun)

    async def _ask_chain(self, name: str, classifier: Classifier, way: Route) -> None:
        answers, seconds = await answer_all(classifier, self._texts, way, seed=0)
        self.measures[f"{name}_{PER_SECOND}"].append(len(self._texts) / seconds)
        judged = quality_measures(judge(answers, self._texts, self._labels))
        self.measures[f"{name}_in_scope_accuracy"].append(judged["in_scope_accuracy"])

    def _ask_peer(self, name: str, peers: Peers) -> None:
        turn = peers.ask(name)
        self.measures[f"{name}_{PER_SECOND}"].append(turn.texts / turn.seconds)
        self.measures[f"{name}_in_scope_accuracy"].append(turn.right / turn.texts)

    def _note_speed(self, name: str, texts: int, begun: float) -> None:
        self.measures[f"{name}_{PER_SECOND}"].append(texts / (time.perf_counter() - begun))
