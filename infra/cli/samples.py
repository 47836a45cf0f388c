"""Plays the sample conversations through Kafka at a gentle rate, as a producer with users would."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from models.samples import load_sample_conversations
from schemas.events import Utterance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.cli.utterance_producer import UtteranceProducer


class SamplePlayer:
    """Publishes each sample utterance once, a conversation's in order.

    Attributes:
        texts: What was said, by the id under which it was published; these texts are ours, so they may be shown.
        total: How many utterances there are.
    """

    def __init__(self, producer: UtteranceProducer, *, per_second: float) -> None:
        self.texts: dict[str, str] = {}
        self._producer = producer
        self._per_second = per_second
        utterances = list(_utterances()) if per_second else []
        self.total = len(utterances)
        self._left = iter(utterances)
        self._started = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Return whether all were published."""
        return len(self.texts) == self.total

    def play(self) -> None:
        """Publish those that are due; call this often.

        Raises:
            UnavailableError: The broker took nothing for too long.
        """
        if self.is_over:
            return
        due = int((time.monotonic() - self._started) * self._per_second) + 1
        while len(self.texts) < min(due, self.total):
            utterance = next(self._left)
            self.texts[self._producer.publish(utterance)] = utterance.text


def _utterances() -> Iterator[Utterance]:
    for conversation in load_sample_conversations():
        for said in conversation.utterances:
            yield Utterance(text=said.text, user_id=conversation.user_id, conversation_id=conversation.conversation_id)
