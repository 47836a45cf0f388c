"""Chooses what people are asked about: what the classifier is unsure of, thinks out of scope, or chance picks.

Chance is a hash of the utterance's id, so that whoever answers the same utterance again picks the same. What it picks
is never dropped for being too much: estimates would leave out just the busiest moments.
"""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
import structlog

from flags.errors import ConflictError
from schemas.cloudevents import event_headers
from schemas.errors import UnavailableError
from schemas.events import CE_TYPES, Alternative, ReviewRequest
from schemas.redaction import Redactor
from streams.batches import ANY_PARTITION, Outgoing
from streams.topics import FEEDBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.cloudevents import Received
    from schemas.events import Result
    from schemas.settings import Review
    from streams.privacy.person_keys import PersonKeys

_REVIEW_TYPE = CE_TYPES[ReviewRequest]
_MAX_CHOICES = 3
_HASH_BYTES = 8
_BURST_SECONDS = 10.0
"""What was not asked for so long may be asked at once: batches come in bursts."""

_encoder = msgspec.json.Encoder()
_log = structlog.get_logger(__name__)


class ReviewsObserver(Protocol):
    """Who counts. Called from any thread; must not block."""

    def review_asked(self, reason: str) -> None:
        """Count an utterance that people are asked about: `uncertain`, `out_of_scope` or `sample`."""

    def review_dropped(self, reason: str) -> None:
        """Count an utterance that they would have been asked about had there not been too many."""


class Reviews:
    """What people are asked. Safe to call from any thread.

    Args:
        settings: How much, and what of the text.
        below_confidence: How sure an answer must be to need no person, where its release does not say.
        observer: Who counts.
        keys: Seal the texts of those who are named; a review may wait for a key to be made then. None: all are plain.
    """

    def __init__(
        self,
        settings: Review,
        below_confidence: float,
        observer: ReviewsObserver,
        keys: PersonKeys | None = None,
    ) -> None:
        self._below_confidence = below_confidence
        self._sampled_below = round(settings.sample_share * 2 ** (8 * _HASH_BYTES))
        self._redactor = Redactor(settings.redactions) if settings.text else None
        self._allowance = Allowance(settings.most_per_second)
        self._observer = observer
        self._keys = keys

    @property
    def may_wait(self) -> bool:
        """Return whether encoding may wait for a key to be made."""
        return self._keys is not None

    def ask(
        self, result: Result, received: Received, said_at: float, *, below: float | None = None
    ) -> ReviewRequest | None:
        """Return what people are asked about a result; None: nothing.

        Args:
            result: The answer.
            received: The utterance.
            said_at: When it came, Unix time in seconds; the clock of what is too much.
            below: How sure it must be to need no person; None: as the settings say.
        """
        reason = self._reason(result, self._below_confidence if below is None else below)
        sample = self._is_sample(result.utterance_id)
        if reason is None and not sample:
            return None
        if not sample and not self._allowance.take(said_at):
            self._observer.review_dropped(str(reason))
            return None
        self._observer.review_asked(reason or "sample")
        return self._request(result, received, reason, sample=sample)

    def encode(self, asked: Sequence[tuple[ReviewRequest, Received]], time_text: str) -> list[Outgoing]:
        """Return the records of what people are asked, and of which utterances.

        Args:
            asked: All of a batch, so that whoever has no key yet gets one at the same time.
            time_text: Now, RFC 3339, UTC.
        """
        reviews = self._sealed([review for review, _ in asked])
        return [self._encode(review, received, time_text) for review, (_, received) in zip(reviews, asked, strict=True)]

    def _sealed(self, reviews: list[ReviewRequest]) -> list[ReviewRequest]:
        """Return them with the texts of those who are named sealed; where that cannot be, without."""
        rows = [row for row, review in enumerate(reviews) if review.text is not None and review.user_id is not None]
        if self._keys is None or not rows:
            return reviews
        try:
            sealed = self._keys.seal_all([(reviews[row].user_id or "", reviews[row].text or "") for row in rows])
        except (ConflictError, UnavailableError) as error:
            _log.warning("reviews_without_text", reviews=len(rows), reason=str(error))
            sealed = []
        for place, row in enumerate(rows):
            text, key_id = (sealed[place].text, sealed[place].key_id) if sealed else (None, None)
            reviews[row] = msgspec.structs.replace(reviews[row], text=text, key_id=key_id)
        return reviews

    def _reason(self, result: Result, below: float) -> Literal["uncertain", "out_of_scope"] | None:
        """Return why people should look, or None if it is in scope and sure enough, or theirs already."""
        if result.lesson is not None or (result.intent is not None and result.confidence >= below):
            return None
        return "out_of_scope" if result.intent is None else "uncertain"

    def _is_sample(self, utterance_id: str) -> bool:
        digest = hashlib.blake2b(utterance_id.encode(), digest_size=_HASH_BYTES).digest()
        return bool(int.from_bytes(digest) < self._sampled_below)

    def _request(
        self, result: Result, received: Received, reason: Literal["uncertain", "out_of_scope"] | None, *, sample: bool
    ) -> ReviewRequest:
        first = Alternative(intent=result.intent, confidence=result.confidence)
        return ReviewRequest(
            utterance_id=result.utterance_id,
            result_id=result.id,
            reason=reason or "uncertain",
            choices=(first, *result.alternatives)[:_MAX_CHOICES],
            user_id=result.user_id,
            source=result.source,
            sample=sample,
            text=None if self._redactor is None else self._redactor.redact(received.utterance.text),
        )

    def _encode(self, review: ReviewRequest, received: Received, time_text: str) -> Outgoing:
        headers = event_headers(_REVIEW_TYPE, f"{review.result_id}/review", time_text, received.traceparent)
        return Outgoing(FEEDBACK, _encoder.encode(review), review.utterance_id.encode(), ANY_PARTITION, headers)


class Allowance:
    """A token bucket over the stream's clock: a day that is worked off in a minute may ask a day's worth.

    Args:
        per_second: How many, in a second of the stream's time.
        now: Unix time in seconds.
    """

    def __init__(self, per_second: float, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._per_second = per_second
        self._most = max(1.0, per_second * _BURST_SECONDS) if per_second else 0.0
        self._left = self._most
        self._clock = 0.0
        self._turn = threading.Lock()

    def take(self, at: float) -> bool:
        """Return whether one more may be; it counts if so.

        Args:
            at: The stream's time, Unix seconds. What is older than what came before moves no clock, and what claims to
                be of the future is of now: one wrong timestamp would stop all refilling.
        """
        with self._turn:
            passed = min(at, self._now()) - self._clock
            if passed > 0:
                self._clock += passed
                self._left = min(self._most, self._left + passed * self._per_second)
            if self._left < 1:
                return False
            self._left -= 1
            return True
