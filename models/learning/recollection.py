"""What is remembered of people's corrections at one revision, ready to be asked which texts they speak for.

Immutable, but for embeddings that were not there when it was made. Three ways to be spoken for, the first that says
something: the text itself was corrected; it says the same as one that was; it belongs with those that teach an intent
which the catalogue lacks.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from models.learning.gate import Gate
from models.learning.nearness import Groups, group
from models.ngrams import ngrams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from models.encoder import Encoder
    from models.learning.nearness import Nearness
    from schemas.events import Lesson

    Rows = npt.NDArray[np.float32]

_LEAST_SHARED = 0.5
"""Cosine of weighted character n-grams. Measured on CLINC150: of texts that say the same, nine in ten share as much."""
_LEAST_SHARED_TEACHING = 0.15
"""The same with one of the texts that teach an intent: of what belongs with five of them, nineteen in twenty do."""
_MOST_GATED = 2_000
"""Lessons: with more, n-grams cost as much as embeddings, and let nearly all through."""

_MOST_SEEN = 20_000
"""Texts of which it is remembered what lessons say: those that come again and again are embedded once a revision."""
_DIGEST_BYTES = 16


class Match(NamedTuple):
    """What a lesson says of a text."""

    intent: str | None
    confidence: float
    revision: int
    """Of the lesson that is nearest."""
    how: Literal["same", "near", "taught"]
    cosine: float = 1.0
    """To the nearest lesson's text."""


class Surroundings(NamedTuple):
    """What tells what is near, of the classifier that serves."""

    encoder: Encoder
    nearness: Nearness
    labels: tuple[str, ...]
    """The catalogue's intents, in the order of their columns."""


class Recollection:
    """The lessons that decide, by their text.

    Args:
        lessons: Those accepted, by their text.
        revision: Of all lessons.
    """

    def __init__(self, lessons: Mapping[str, Lesson], revision: int) -> None:
        self.revision = revision
        self._lessons = dict(lessons)
        self._near: _Near | None = None

    def __len__(self) -> int:
        return len(self._lessons)

    def copy(self) -> Recollection:
        """Return the same without knowing what is near."""
        return Recollection(self._lessons, self.revision)

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the texts that lessons are about."""
        return tuple(self._lessons)

    @property
    def knows_what_is_near(self) -> bool:
        """Whether more than the texts themselves can be spoken for."""
        return self._near is not None

    def look_around(self, surroundings: Surroundings, embeddings: Rows) -> None:
        """Know from now on what is near.

        Args:
            surroundings: Of the catalogue that serves.
            embeddings: Shape (lessons, width), in the order of `texts`.
        """
        self._near = _Near(list(self._lessons.values()), surroundings, embeddings)

    def same(self, text: str) -> Match | None:
        """Return what was said of this very text, normalised."""
        lesson = self._lessons.get(text)
        return None if lesson is None else Match(lesson.intent, 1.0, lesson.revision, "same")

    def near(self, texts: Sequence[str]) -> list[Match | None]:
        """Return what lessons say of normalised texts that are about none of them; blocks while it embeds some."""
        return [None] * len(texts) if self._near is None or not texts else self._near.matches(texts)


NOTHING = Recollection({}, 0)
"""What is remembered before anything is."""


class _Near:
    """What it takes to say what is near to some lessons."""

    def __init__(self, lessons: Sequence[Lesson], surroundings: Surroundings, embeddings: Rows) -> None:
        self._lessons = lessons
        self._encoder, self._nearness, labels = surroundings
        self._embeddings = embeddings
        known = {label: column for column, label in enumerate(labels)} | {None: len(labels)}
        self._columns = np.array([known.get(lesson.intent, -1) for lesson in lessons], np.intp)
        teaching = [row for row, column in enumerate(self._columns) if column < 0]
        self._intents = sorted({str(lessons[row].intent) for row in teaching})
        self._taught: Groups | None = None
        if teaching and self._nearness.space is not None:
            members = [self._intents.index(str(lessons[row].intent)) for row in teaching]
            self._taught = group(self._nearness.space.whiten(embeddings[teaching]), members, len(self._intents))
        self._gate = self._new_gate(teaching) if len(lessons) <= _MOST_GATED else None
        self._seen: dict[bytes, Match | None] = {}

    def matches(self, texts: Sequence[str]) -> list[Match | None]:
        digests = [hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest() for text in texts]
        new = [row for row, digest in enumerate(digests) if digest not in self._seen]
        if len(self._seen) + len(new) > _MOST_SEEN:
            self._seen, new = {}, list(range(len(texts)))
        if new:
            found = self._find([texts[row] for row in new])
            self._seen.update(zip((digests[row] for row in new), found, strict=True))
        return [self._seen[digest] for digest in digests]

    def may_be_near(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which texts are worth an embedding, shape (texts,)."""
        if self._gate is None:
            return np.ones(len(texts), np.bool_)
        return self._gate.passes(ngrams(texts)[1], len(texts))

    def _new_gate(self, teaching: Sequence[int]) -> Gate:
        least = np.full(len(self._lessons), _LEAST_SHARED, np.float32)
        if self._taught is not None:
            least[teaching] = _LEAST_SHARED_TEACHING
        _, characters = ngrams([lesson.text for lesson in self._lessons])
        return Gate(characters, len(self._lessons), self._nearness.characters, least)

    def _find(self, texts: Sequence[str]) -> list[Match | None]:
        found: list[Match | None] = [None] * len(texts)
        worth = np.flatnonzero(self.may_be_near(texts)).tolist()
        if worth:
            embeddings = self._encoder.embed([texts[row] for row in worth])
            for row, match in zip(worth, self._by_embedding(embeddings), strict=True):
                found[row] = match
        return found

    def _by_embedding(self, embeddings: Rows) -> list[Match | None]:
        cosines = embeddings @ self._embeddings.T
        nearest = cosines.argmax(axis=1)
        best = cosines[np.arange(len(cosines)), nearest]
        found: list[Match | None] = [None] * len(embeddings)
        same = np.flatnonzero(best >= self._nearness.least_cosine)
        for row in same[best[same] > self._other_intents(embeddings[same], self._columns[nearest[same]])]:
            lesson = self._lessons[nearest[row]]
            found[row] = Match(lesson.intent, self._nearness.precision, lesson.revision, "near", float(best[row]))
        left = np.array([row for row, match in enumerate(found) if match is None], np.intp)
        for row, intent in zip(left, self._taught_intents(embeddings[left]), strict=True):
            if intent is not None:
                found[row] = self._as_taught(intent, cosines[row])
        return found

    def _other_intents(self, embeddings: Rows, columns: npt.NDArray[np.intp]) -> Rows:
        """Return how near the nearest of the catalogue's examples is that means something else."""
        if not len(embeddings):
            return np.zeros(0, np.float32)
        cosines = embeddings @ self._nearness.examples.T.astype(np.float32)
        cosines[self._nearness.intents[None, :] == columns[:, None]] = -1
        others: Rows = cosines.max(axis=1)
        return others

    def _taught_intents(self, embeddings: Rows) -> list[str | None]:
        """Return which taught intent each text belongs to, if to any."""
        space, catalogue = self._nearness.space, self._nearness.catalogue
        if self._taught is None or space is None or catalogue is None or not len(embeddings):
            return [None] * len(embeddings)
        whitened = space.whiten(embeddings)
        taught = space.likelihoods(whitened, self._taught)
        others = np.maximum(
            space.likelihoods(whitened, catalogue).max(axis=1), space.likelihoods(whitened, space.nowhere)[:, 0]
        )
        likest = taught.argmax(axis=1)
        near = taught.max(axis=1) - others >= self._nearness.least_margin
        return [self._intents[column] if is_near else None for column, is_near in zip(likest, near, strict=True)]

    def _as_taught(self, intent: str, cosines: Rows) -> Match:
        rows = [row for row, lesson in enumerate(self._lessons) if lesson.intent == intent]
        row = max(rows, key=lambda each: cosines[each])
        return Match(intent, self._nearness.precision, self._lessons[row].revision, "taught", float(cosines[row]))
