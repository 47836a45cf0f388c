"""The tier `zero_shot` by natural-language inference: does what was said entail what an intent means?

transformers' pipeline asks its network once for each text and intent, and nothing was trained for the catalogue.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from models.calibration import softmax
from models.training.examples import label_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from models.catalogue import Catalogue
    from models.prediction import Probabilities
    from schemas.zero_shot import ZeroShot


class Pipeline(Protocol):
    """transformers' `ZeroShotClassificationPipeline`, as far as it is needed."""

    def __call__(
        self,
        sequences: list[str],
        *,
        candidate_labels: list[str],
        hypothesis_template: str,
        multi_label: bool,
        batch_size: int,
    ) -> list[dict[str, Any]]:
        """Return `labels` and their `scores` for each text, the likeliest first; the scores of a text sum to 1."""


def hypotheses_of(catalogue: Catalogue, asked: ZeroShot) -> tuple[str, ...]:
    """Return what is held against a text for each intent and, as the last, for out-of-scope.

    An intent's description is taken as its author wrote it; without one, its name is put into the template.
    """
    told = (intent.description.strip() or _named(label_words(intent), asked) for intent in catalogue.intents)
    return (*told, _named(asked.out_of_scope, asked))


def _named(words: str, asked: ZeroShot) -> str:
    return asked.hypothesis.replace("{}", words)


class NliModel:
    """A pipeline, and what to hold against texts. Any thread may ask; one waits for the other."""

    def __init__(
        self, pipeline: Pipeline, hypotheses: Sequence[str], *, max_batch: int, temperature: float = 1.0
    ) -> None:
        """Take what answers.

        Args:
            pipeline: Whose network was trained to tell what entails what.
            hypotheses: One a class, the last being out-of-scope.
            max_batch: Pairs of a text and a hypothesis in one pass of the network.
            temperature: What the logits are divided by.
        """
        self._pipeline = pipeline
        self._hypotheses = list(hypotheses)
        self._max_batch = max_batch
        self._temperature = temperature
        self._lock = threading.Lock()  # its tokenizer is set up anew by each call

    def told(self, hypotheses: Sequence[str], temperature: float | None = None) -> NliModel:
        """Return a model that holds something else against texts, with the same pipeline.

        Args:
            hypotheses: One a class, the last being out-of-scope.
            temperature: What its logits are divided by; left out: the same.
        """
        return NliModel(
            self._pipeline, hypotheses, max_batch=self._max_batch, temperature=temperature or self._temperature
        )

    def logits(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return shape (texts, classes) of normalised texts: what a softmax makes the pipeline's scores of."""
        if not texts:
            return np.zeros((0, len(self._hypotheses)), np.float32)
        with self._lock:
            answers = self._pipeline(
                [text or " " for text in texts],  # an empty one is refused
                candidate_labels=self._hypotheses,
                hypothesis_template="{}",
                multi_label=False,
                batch_size=self._max_batch,
            )
        scores = [dict(zip(answer["labels"], answer["scores"], strict=True)) for answer in answers]
        rows = np.array([[each[hypothesis] for hypothesis in self._hypotheses] for each in scores], np.float32)
        return np.log(np.maximum(rows, np.finfo(np.float32).tiny))

    def predict(self, texts: Sequence[str]) -> Probabilities:
        """Return calibrated probabilities of normalised texts."""
        return softmax(self.logits(texts), self._temperature)
