"""Makes challengers out of what people corrected since the last one, and remembers what the champion is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.kept_embeddings import KeptEmbeddings
from models.learning.material import Material, forgotten, gather, learnable
from models.training.contest import Contest
from models.training.relearning import compete, relearn, unlearnt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.catalogue import Catalogue
    from models.encoder import Encoder
    from models.learning.lessons import Lessons
    from models.zero_shot import ZeroShotModel


class Attempt(NamedTuple):
    """What came of one attempt.

    Attributes:
        contest: Champion against challenger, on held-out texts; of none, where what the champion knew was forgotten.
        material: What the challenger is made of.
        model: The challenger, made of all of it; None where it was not promoted.
    """

    contest: Contest
    material: Material
    model: ZeroShotModel | None


class HeadLearner:
    """One catalogue's learner. Blocking; one thread at a time.

    Args:
        catalogue: What the champion is made of, whatever else it has learnt.
        encoder: Of the prepared models.
        learnt: The revision of the corrections that the champion has learnt; 0: none.
        texts: The keys of the lessons that it has learnt.
        tried: The revision up to which corrections were tried; what was taken back is not made again of the same.
        after: So many new corrections are worth an attempt.
        most: So many texts are remembered; where there are so many, what is missing made room for others.
        champion: What the champion is made of, if somebody still knows.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        encoder: Encoder,
        *,
        learnt: int = 0,
        texts: frozenset[str] = frozenset(),
        tried: int = 0,
        after: int,
        most: int,
        champion: Material | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._encoder = KeptEmbeddings(encoder)
        self._learnt = learnt
        self._texts = texts
        self._most = most
        self._champion = champion
        self._challenger: Material | None = None
        self._tried = tried
        self._after = after

    def is_due(self, lessons: Lessons) -> bool:
        """Return whether there are enough corrections that no attempt has seen, or something is to be forgotten."""
        return (
            bool(self._forgotten(lessons))
            or sum(lesson.revision > self._tried for lesson in learnable(self._catalogue, lessons)) >= self._after
        )

    def forgets(self, lessons: Lessons) -> bool:
        """Return whether what serves has learnt something that was forgotten since."""
        return bool(self._forgotten(lessons))

    def attempt(
        self, lessons: Lessons, traffic: Sequence[str], *, goes_on: Callable[[], bool] = lambda: True
    ) -> Attempt | None:
        """Hold what corrections teach now against what the champion has learnt, and make the winner.

        Where the champion has learnt what was forgotten since, another is made without asking which is better.

        Args:
            lessons: All of them; those count that somebody reliable speaks for.
            traffic: What was said lately, as it was said.
            goes_on: Asked now and then; once it is false, nobody wants to know any more.

        Returns:
            None where it was given up.
        """
        challenger = self._challenger = gather(self._catalogue, lessons, traffic)
        if gone := self._forgotten(lessons):
            return self._without(gone, challenger, lessons)
        contest = compete(self._champion or self._recalled(challenger), challenger, self._encoder, goes_on=goes_on)
        if contest is None:
            return None
        self._tried = lessons.revision
        if not contest.promoted:
            return Attempt(contest, challenger, None)
        model = relearn(challenger, self._encoder)
        if lost := unlearnt(model, challenger, self._encoder):
            reason = f"{contest.reason} But of what it learnt of {len(lost)} intents, half is lost."
            return Attempt(contest._replace(code="intent_collapses", reason=reason), challenger, None)
        return Attempt(contest, challenger, model)

    def untaught(self) -> ZeroShotModel:
        """Return the head that the catalogue alone makes."""
        return relearn(Material(self._catalogue), self._encoder)

    def promoted(self) -> None:
        """Take the last challenger for the champion from now on."""
        self._learnt, self._champion = self._tried, self._challenger
        self._texts = frozenset(self._challenger.keys) if self._challenger else frozenset()

    def _forgotten(self, lessons: Lessons) -> int:
        """Return how many lessons that the champion has learnt are gone, and not to make room."""
        return forgotten(lessons, self._texts, most=self._most)

    def _without(self, gone: int, material: Material, lessons: Lessons) -> Attempt:
        """Make a head of what is left; should that be no good one, of the catalogue alone."""
        model = relearn(material, self._encoder)
        if unlearnt(model, material, self._encoder):
            material, model = Material(self._catalogue), self.untaught()
        self._challenger, self._tried = material, max(self._tried, lessons.revision)
        self._texts, self._champion = frozenset(material.keys), material
        reason = f"{gone} of the texts that it had learnt were forgotten; made anew of what is left."
        contest = Contest("forgotten", reason, texts=0, champion=0, challenger=0, p_value=1.0)
        return Attempt(contest, material, model)

    def _recalled(self, challenger: Material) -> Material:
        """Return what the champion may be made of; what was said lately stands for what it heard."""
        learnt = tuple(lesson for lesson in challenger.lessons if lesson.revision <= self._learnt)
        return challenger._replace(lessons=learnt, traffic=challenger.traffic if self._learnt else ())
