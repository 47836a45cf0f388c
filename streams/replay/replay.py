"""Classifies a stretch of the past again, as it was or as it would be, and tells how the answers differ."""

from __future__ import annotations

import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from confluent_kafka import Consumer

from flags.clients import reader_config
from flags.history import read_history
from flags.log_reader import LogReader
from schemas.errors import UnknownFlagError
from streams.clients import client_config
from streams.past.search import PastReader
from streams.privacy.parts import opening, person_keys
from streams.replay.bench import Benches, Conditions
from streams.replay.circumstances import browned_out, hampered
from streams.replay.comparison import Comparison, Differences
from streams.replay.publishing import ReplayPublisher, check_topic
from streams.replay.releases import LostReleaseError, PastReleases, read_releases
from streams.replay.revisions import PastFlags, PastLessons
from streams.replay.stretch import Stretch
from streams.replay.verdicts import Verdicts
from streams.results import timestamp
from streams.topics import CORRECTIONS, CORRECTIONS_AUDIT, FLAGS_AUDIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.learning.lessons import Lessons
    from schemas.settings import Settings
    from streams.privacy.person_keys import PersonKeys
    from streams.replay.bench import Bench
    from streams.replay.releases import Opened
    from streams.replay.stretch import Answered

FLAGS_LOST, LESSON_LOST, RELEASE_LOST = "flags_lost", "lesson_lost", "release_lost"
HAMPERED, NOT_ANSWERED = "degraded", "not_answered_now"
"""Why a result is not compared, beside what `streams.replay.stretch` says."""

_LEARNING = "feedback_learning"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be replayed, and what is to be different.

    Attributes:
        begin: Unix time of the first results.
        end: Unix time before which the last were written.
        release: Which release is to answer (`streams.replay.releases.PastReleases.named`); None: each result's own.
        flags: What flags are to be for everyone, by name; the others are what they were.
        environment: What the workers' environment says of flags; nothing on the topics tells.
        into: Topic to publish to what would be answered.
    """

    begin: float
    end: float
    release: str | None = None
    flags: dict[str, bool] = {}
    environment: dict[str, bool] = {}
    into: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a replay went.

    Attributes:
        begin: Of the stretch, RFC 3339, UTC.
        end: Likewise.
        release: Which answered; None: each result's own.
        flags: That were other than they had been, by name.
        results: How many were written in the stretch.
        left_out: How many of them were not compared, by why.
        lost: Why releases could not be opened, by name.
        differences: Of the others.
        browned_out: How many of those were answered, and replayed, in a brown-out.
        nearness_skipped: Texts of which it could not be found out whether a lesson speaks for them.
        published: How many were delivered to the topic; None: there was none.
        not_published: How often each reason kept one from being delivered.
        seconds: What it took.
        loading_seconds: Of these, what loading models took.
        results_per_second: Compared, in the rest of the time.
    """

    begin: str
    end: str
    release: str | None
    flags: dict[str, bool]
    results: int
    left_out: dict[str, int]
    lost: dict[str, str]
    differences: Differences
    browned_out: int
    nearness_skipped: int
    published: int | None
    not_published: dict[str, int]
    seconds: float
    loading_seconds: float
    results_per_second: float


class Logs(NamedTuple):
    """What decisions depend on beside the utterance and the release, as the topics tell it."""

    flags: PastFlags
    lessons: PastLessons
    verdicts: Verdicts


class _Key(NamedTuple):
    """What is alike for results that are decided together."""

    release: str
    flags: int
    lessons: int
    browned_out: bool


async def replay(settings: Settings, question: Question) -> Report:
    """Classify a stretch of the past again. Blocks its loop while it reads: it wants a process of its own.

    Args:
        settings: As the workers have them.
        question: What is to be replayed.

    Raises:
        UnknownFlagError: There is no such flag.
        LostReleaseError: The release that is to answer cannot be opened.
        RefusedTopicError: The topic may not be written to.
        UnavailableError: The broker is away.
    """
    begun = time.monotonic()
    with ExitStack() as stack:
        results, utterances = (stack.enter_context(PastReader(settings)) for _ in range(2))
        if question.into is not None:
            check_topic(results, question.into)
        keys = stack.enter_context(person_keys(settings))
        logs = _read_logs(settings, question, keys)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="intentstream-replay-")))
        releases = PastReleases(settings, read_releases(settings), scratch)
        stretch = Stretch(results, utterances, question.begin, question.end, keys)
        async with Benches(settings) as benches:
            replayer = Replayer(settings, question, logs, releases, benches)
            await replayer.replay(stretch)
            return replayer.report(stretch, time.monotonic() - begun)


class Replayer:
    """One replay under way.

    Args:
        settings: Where to publish.
        question: What is to be different.
        logs: What decisions depended on.
        releases: That can be opened.
        benches: Where they decide.

    Raises:
        LostReleaseError: The release that is to answer cannot be opened.
    """

    def __init__(
        self, settings: Settings, question: Question, logs: Logs, releases: PastReleases, benches: Benches
    ) -> None:
        self._question = question
        self._logs = logs
        self._releases = releases
        self._benches = benches
        self._target = None if question.release is None else releases.named(question.release)
        self._opened: dict[str, Opened] = {}
        self._lost: dict[str, str] = {}
        self._comparison = Comparison()
        self._left_out: Counter[str] = Counter()
        self._browned_out = 0
        self._publisher = None if question.into is None else ReplayPublisher(settings, question.into)
        self._published: tuple[int | None, Mapping[str, int]] = (None, {})

    async def replay(self, stretch: Stretch) -> None:
        """Go through all of it.

        Raises:
            UnavailableError: The broker went away.
        """
        try:
            for portion in stretch.portions():
                for key, those in self._alike(portion):
                    await self._decide(key, those)
        except BaseException:
            if self._publisher is not None:
                self._publisher.abandon()
            raise
        if self._publisher is not None:
            self._published = self._publisher.finish()

    def report(self, stretch: Stretch, seconds: float) -> Report:
        """Return how it went, given how long it took."""
        differences, loading = self._comparison.differences(), self._benches.loading_seconds
        published, not_published = self._published
        return Report(
            begin=timestamp(self._question.begin),
            end=timestamp(self._question.end),
            release=None if self._target is None else self._target.name,
            flags=self._question.flags,
            results=stretch.seen,
            left_out=dict((stretch.left_out + self._left_out).most_common()),
            lost=self._lost,
            differences=differences,
            browned_out=self._browned_out,
            nearness_skipped=self._benches.nearness_skipped,
            published=published,
            not_published=dict(not_published),
            seconds=seconds,
            loading_seconds=loading,
            results_per_second=differences.compared / max(seconds - loading, 1e-9),
        )

    def _alike(self, portion: Sequence[Answered]) -> list[tuple[_Key, list[Answered]]]:
        """Return who is decided together; they go by revisions, so that lessons are learnt in turn."""
        groups: defaultdict[_Key, list[Answered]] = defaultdict(list)
        for each in portion:
            result = each.result
            if result.lesson is not None and not self._logs.lessons.has(result.lesson):
                self._left_out[LESSON_LOST] += 1
                continue
            release = result.release if self._target is None else self._target.name
            spared = browned_out(result.tried)
            groups[_Key(release, result.flags_revision, self._lessons_revision(each), spared)].append(each)
        return sorted(groups.items())

    def _lessons_revision(self, each: Answered) -> int:
        """Return by which lessons to go: the result's, but where nobody was to ask for any, those of its time."""
        known = each.result.corrections_revision
        return known if known or not self._question.flags.get(_LEARNING) else self._logs.lessons.revision_at(each.at)

    async def _decide(self, key: _Key, those: Sequence[Answered]) -> None:
        """Decide what is alike, if everything that it takes is still there."""
        flags = self._logs.flags.at(key.flags)
        if flags is None:
            self._left_out[FLAGS_LOST] += len(those)
            return
        opened = self._open(key.release)
        if opened is None:
            self._left_out[RELEASE_LOST] += len(those)
            return
        bench = await self._benches.of(opened)
        ready = bench.ready()
        able = [each for each in those if not hampered(each.result.tried, each.result.release, ready)]
        self._left_out[HAMPERED] += len(those) - len(able)
        if able:
            conditions = Conditions(flags, self._lessons(key.lessons), key.browned_out)
            await self._compare(bench, able, conditions, ready)

    async def _compare(self, bench: Bench, those: Sequence[Answered], conditions: Conditions, ready: set[str]) -> None:
        decisions = await bench.decide([each.received for each in those], conditions)
        for each, decision in zip(those, decisions, strict=True):
            if hampered(decision.answer.tried, decision.release, ready):
                self._left_out[NOT_ANSWERED] += 1
                continue
            self._browned_out += conditions.browned_out
            self._comparison.add(each.result, decision.answer)
            if each.result.utterance_id in self._logs.verdicts:
                right = self._logs.verdicts[each.result.utterance_id]
                self._comparison.judge(each.result, decision.answer, right)
            if self._publisher is not None:
                self._publisher.publish(each, decision)

    def _lessons(self, revision: int) -> Lessons:
        return self._logs.lessons.at(revision)

    def _open(self, name: str) -> Opened | None:
        """Return a release; None where it cannot be had, and why that is stands in `lost` from then on."""
        if self._target is not None:
            return self._target
        if name not in self._opened and name not in self._lost:
            try:
                self._opened[name] = self._releases.opened(name)
            except LostReleaseError as error:
                self._lost[name] = str(error)
        return self._opened.get(name)


def _read_logs(settings: Settings, question: Question, keys: PersonKeys | None) -> Logs:
    """Read what flags, lessons and people's verdicts were.

    Raises:
        UnknownFlagError: A flag is to be different that there is not.
        UnavailableError: The broker is away.
    """
    consumer = Consumer(reader_config(client_config(settings)))
    try:
        history = read_history(LogReader(consumer, FLAGS_AUDIT))
        flags = PastFlags(history, question.environment | question.flags)
        names = flags.latest.names
        if unknown := [name for name in question.flags if name not in names]:
            raise UnknownFlagError(f"There is no flag {unknown[0]!r}; there are {', '.join(names)}.")
        lessons = LogReader(consumer, CORRECTIONS)
        past = PastLessons(lessons.messages(*lessons.bounds()), opening(keys))
        audit = LogReader(consumer, CORRECTIONS_AUDIT)
        return Logs(flags, past, Verdicts(audit.read(*audit.bounds()), since=question.begin))
    finally:
        consumer.close()
