"""Plays a stream to people who correct it, some of them hostile, and shows what the classifier makes of that.

Everything that decides is what serves: the flags' way through the chain, the guard's rules, the lessons that override,
the learner's contest and its release brought into service. Only Kafka is left out, and time is the stream's own.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from flags.evaluation import Snapshot
from infra.bench.evaluate import settings_of_content
from infra.bench.report import Report, new_report
from models.classifier import Classifier
from models.evaluation import judge, quality_measures
from models.learning.corrector import Corrector
from models.learning.lessons import Lessons
from models.learning.verdicts import Judge
from models.preparation import Announced, Preparation, prepare
from models.serving import Serving
from models.text import normalise
from models.training.learner import HeadLearner
from models.zero_shot_release import MadeFor, make_zero_shot_release
from schemas.cloudevents import Received
from schemas.errors import InvalidDataSetError
from schemas.events import Correction, Utterance
from streams.decide import FlaggedClassifier
from streams.learning.candidates import candidates_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.answer import Answer
    from models.dataset import DataSet, Labelled
    from schemas.settings import Settings

Attack = Literal["random", "push"]

_BATCH = 50
_TEST_BATCH = 500
_CORRECTED_SHARE = 0.25
_SECONDS_APART = 1.0
"""Between two utterances, by the stream's clock: what people's quotas are counted by."""
_BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Asked(NamedTuple):
    """What is to be played.

    Attributes:
        utterances: How many are streamed.
        people: Who say them, and correct the answers.
        hostile: The share of them who call every answer that they get wrong.
        attack: What they say instead: an intent of chance, or all the same one.
        retrain_after: So many accepted corrections bring the learner to try.
        every: After so many utterances the test texts are asked.
        seed: Of all chance.
    """

    utterances: int
    people: int
    hostile: float
    attack: Attack
    retrain_after: int
    every: int
    seed: int


class Mark(NamedTuple):
    """How things stand after some utterances."""

    utterances: int
    accuracy: float
    """Of the test texts in scope, from 0 to 1."""
    lessons: int
    wrong_lessons: int


class Played(NamedTuple):
    """A report, and the curve that it ends."""

    report: Report
    curve: list[Mark]


def play(settings: Settings, start: DataSet, stream: Labelled, asked: Asked, say: Callable[[str], None]) -> Played:
    """Stream texts to people and report.

    Args:
        settings: Of chain and learning; models lie in `evaluate` under the state folder, by content.
        start: What the catalogue is made of, and the test texts.
        stream: What may be said, with its truth; texts that the catalogue has are left out.
        asked: How it is played.
        say: Is told how far it is.

    Raises:
        InvalidDataSetError: There are fewer texts than are to be streamed.
        UnavailableError: The encoder's weights are not installed.
    """
    begun, catalogue = time.time(), start.catalogue()
    settings = settings_of_content(settings, catalogue, None)
    say("preparing the models")
    prepare(settings, catalogue, lambda _what, _share: None)
    with tempfile.TemporaryDirectory() as scratch:
        game = _Game(settings, start, _drawn(start, stream, asked), asked, say=say, scratch=Path(scratch))
        curve = asyncio.run(game.play())
    first, last = curve[0], curve[-1]
    report = new_report(
        "simulate learning",
        begun=begun,
        settings=asked._asdict() | {"data": start.name, "train_texts": len(start.train)},
        measures={
            "start_accuracy_percent": [100 * first.accuracy],
            "end_accuracy_percent": [100 * last.accuracy],
            "corrections": [game.corrections],
            "hostile_corrections": [game.hostile_corrections],
            "lessons": [last.lessons],
            "wrong_lessons": [last.wrong_lessons],
            "challengers": [len(game.contests)],
            "releases": [game.releases],
        },
        ratios={},
        notes=[f"After {number} utterances: {reason}" for number, reason in game.contests],
    )
    return Played(report, curve)


class _Said(NamedTuple):
    """One utterance, and what it means."""

    received: Received
    truth: str


def _drawn(start: DataSet, stream: Labelled, asked: Asked) -> list[_Said]:
    """Draw the stream: in scope, and nothing that the catalogue has among its examples."""
    known = set(map(normalise, start.train.texts))
    rows = [
        (text, intent)
        for text, intent in zip(stream.texts, stream.intents, strict=True)
        if intent is not None and normalise(text) not in known
    ]
    if len(rows) < asked.utterances:
        raise InvalidDataSetError(f"{start.name} has {len(rows):,} texts to stream; ask for no more --utterances.")
    chance = np.random.default_rng(asked.seed)
    chosen = chance.permutation(len(rows))[: asked.utterances].tolist()
    users = chance.integers(asked.people, size=asked.utterances).tolist()
    return [
        _Said(Received(Utterance(text=rows[row][0], id=str(place), user_id=f"person-{user}")), rows[row][1])
        for place, (row, user) in enumerate(zip(chosen, users, strict=True))
    ]


class _Crowd:
    """The people: most correct a share of what was answered wrong, the hostile call wrong whatever they are told."""

    def __init__(self, labels: Sequence[str], asked: Asked) -> None:
        self._labels = labels
        self._attack = asked.attack
        self._chance = np.random.default_rng(asked.seed + 1)
        hostile = self._chance.permutation(asked.people)[: round(asked.hostile * asked.people)]
        self.hostile = {f"person-{number}" for number in hostile.tolist()}
        self._pushed = labels[int(self._chance.integers(len(labels)))]

    def correction(self, said: _Said, answer: Answer) -> Correction | None:
        """Return what the utterance's author says of its answer, if anything."""
        utterance = said.received.utterance
        person, intent = utterance.user_id or "", said.truth
        if person in self.hostile:
            others = [label for label in self._labels if label != said.truth]
            intent = self._pushed if self._attack == "push" else others[int(self._chance.integers(len(others)))]
        elif answer.intent == said.truth or self._chance.random() >= _CORRECTED_SHARE:
            return None
        return Correction(utterance_id=utterance.id or "", person_id=person, text=utterance.text, intent=intent)


class _Game:
    """One stream, played."""

    def __init__(
        self,
        settings: Settings,
        start: DataSet,
        stream: Sequence[_Said],
        asked: Asked,
        *,
        say: Callable[[str], None],
        scratch: Path,
    ) -> None:
        self._settings = settings
        self._data = start
        self._catalogue = start.catalogue()
        self._stream = stream
        self._truth = {normalise(said.received.utterance.text): said.truth for said in stream}
        self._asked = asked
        self._say = say
        self._scratch = scratch
        self._crowd = _Crowd(start.labels, asked)
        self._lessons = Lessons()
        limit = settings.intake.max_text_characters
        self._judge = Judge(self._lessons, lambda: self._catalogue.labels, settings.learning, max_text_characters=limit)
        self.corrections = self.hostile_corrections = self.releases = 0
        self.contests: list[tuple[int, str]] = []

    async def play(self) -> list[Mark]:
        settings, asked = self._settings, self._asked
        preparation = Preparation(settings, self._catalogue)
        self._encoder_name = preparation.encoder_name
        learner = HeadLearner(
            self._catalogue,
            preparation.encoder(),
            after=asked.retrain_after,
            most=settings.learning.max_texts,
        )
        first = Classifier(settings, self._catalogue, share=False)
        await first.start()
        await first.loaded()
        self._serving = Serving(first)
        corrector = Corrector(
            lambda: self._serving.current.surroundings,
            deadline_seconds=settings.chain.tier_deadline_seconds,
            observer=_Unhurried(),
        )
        decider = FlaggedClassifier(self._serving, Snapshot, corrector=corrector)
        curve = [await self._mark(decider, 0)]
        for place in range(0, asked.utterances, _BATCH):
            batch = self._stream[place : place + _BATCH]
            if await self._hear(decider, batch, place):
                corrector.learn(self._lessons)
            done = place + len(batch)
            if learner.is_due(self._lessons):
                await self._learn(learner, done)
                corrector.refresh()
            if done % asked.every < _BATCH or done == asked.utterances:
                curve.append(await self._mark(decider, done))
        corrector.close()
        await self._serving.current.close()
        return curve

    async def _hear(self, decider: FlaggedClassifier, batch: Sequence[_Said], place: int) -> bool:
        """Answer a batch and have its authors correct it; return whether anything was learnt."""
        decisions = await decider.decide([said.received for said in batch])
        corrections = [
            (place + row, correction)
            for row, (said, decision) in enumerate(zip(batch, decisions, strict=True))
            if (correction := self._crowd.correction(said, decision.answer)) is not None
        ]
        texts = [normalise(correction.text or "") for _, correction in corrections]
        revision = self._lessons.revision
        for (number, correction), thought_of in zip(
            corrections, await candidates_of(self._serving, texts) if texts else [], strict=True
        ):
            at = (_BEGIN + dt.timedelta(seconds=number * _SECONDS_APART)).isoformat()
            self._judge.judge(correction, thought_of, at=at)
            self.corrections += 1
            self.hostile_corrections += correction.person_id in self._crowd.hostile
        return self._lessons.revision != revision

    async def _learn(self, learner: HeadLearner, done: int) -> None:
        """Have the learner try, and what it makes serve."""
        traffic = [said.received.utterance.text for said in self._stream[:done]]
        attempt = await asyncio.to_thread(learner.attempt, self._lessons, traffic)
        if attempt is None:
            return
        self.contests.append((done, attempt.contest.reason))
        self._say(f"after {done:,} utterances: {attempt.contest.reason}")
        if attempt.model is None:
            return
        learner.promoted()
        self.releases += 1
        folder = self._scratch / f"release-{self.releases}"
        made_for = MadeFor(
            catalogue=self._catalogue.digest,
            encoder=self._encoder_name,
            lessons=self._lessons.revision,
            texts=tuple(attempt.material.keys),
        )
        make_zero_shot_release(folder, attempt.model, made_for, {})
        new = Classifier(self._settings, self._catalogue, announced=Announced(zero_shot=folder), share=False)
        await new.start()
        await new.loaded()
        await self._serving.replace(new)

    async def _mark(self, decider: FlaggedClassifier, done: int) -> Mark:
        """Ask the test texts, of which nobody says anything."""
        test, answers = self._data.test, []
        for start in range(0, len(test), _TEST_BATCH):
            texts = test.texts[start : start + _TEST_BATCH]
            decisions = await decider.decide([Received(Utterance(text=text, id=text[:64])) for text in texts])
            answers += [decision.answer for decision in decisions]
        accuracy = quality_measures(judge(answers, test, self._data.labels))["in_scope_accuracy"]
        accepted = self._lessons.accepted()
        wrong = sum(self._truth[text] != lesson.intent for text, lesson in accepted.items())
        self._say(f"after {done:,} utterances: {accuracy:.2%}, {len(accepted)} lessons, {wrong} of them wrong")
        return Mark(done, accuracy, len(accepted), wrong)


class _Unhurried:
    """Nobody counts what a busy machine leaves out, for the deadline here is a minute."""

    def nearness_skipped(self, texts: int) -> None:
        """Raise: the numbers would be wrong."""
        raise TimeoutError(f"What is near to {texts} texts was not found out in time.")
