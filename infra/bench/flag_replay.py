"""How fast past decisions are decided again from the audit, and whether they come out as they were.

What is replayed was really decided: a follower reads what a writer writes, and answers from each snapshot it shows. The
clock runs from the first byte of the audit to the last decision.
"""

from __future__ import annotations

import queue
import random
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import NewTopic

from flags.clients import follower_config, reader_config, writer_config
from flags.edits import Edit
from flags.evaluation import Context
from flags.follower import Follower
from flags.history import read_history
from flags.log_reader import LogReader
from flags.replay import PastDecision, Replay, replay
from flags.writer import Writer
from schemas.errors import UnavailableError
from streams.clients import admin_client, client_config
from streams.topics import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flags.evaluation import Snapshot
    from flags.refusals import RefusedRecord
    from schemas.settings import Settings

_FLAGS = 40
_USERS = 100_000
_PLANS, _COUNTRIES = ("free", "gold", "staff"), ("de", "fr", "pl", "jp")
_APPLIED_SECONDS = 30.0
_SEED = 20_261_123


class Replayed(NamedTuple):
    """What was measured."""

    result: Replay
    revisions: int
    seconds: float


def measure_replay(settings: Settings, *, decisions: int, revisions: int, say: Callable[[str], None]) -> Replayed:
    """Have flags changed at random and asked after each change; then decide all of that again from the audit.

    Args:
        settings: Where the broker is.
        decisions: How many are replayed.
        revisions: Of how many changes.
        say: Told what is being done.

    Raises:
        UnavailableError: The broker, or the follower, stopped answering.
    """
    run = f"bench.replay.{uuid.uuid4().hex[:8]}"
    audit = f"{run}.audit"
    topics = [NewTopic(name, 1, settings.topics.replication_factor) for name in (run, audit)]
    for made in admin_client(settings).create_topics(topics).values():
        made.result(30)
    say(f"{decisions:,} decisions over {revisions:,} changes of flags")
    past = _decide(settings, run, audit, decisions, revisions)
    begun = time.monotonic()
    with closing(Consumer(reader_config(client_config(settings)))) as consumer:
        result = replay(read_history(LogReader(consumer, audit)), past)
    return Replayed(result, revisions, time.monotonic() - begun)


def _decide(settings: Settings, topic: str, audit: str, decisions: int, revisions: int) -> list[PastDecision]:
    """Return what was decided while the flags changed."""
    dice, client, seen = random.Random(_SEED), client_config(settings), _Seen()  # noqa: S311 - no secret
    past: list[PastDecision] = []
    writer = Writer(
        new_producer=lambda: Producer(writer_config(client, topic)),
        new_consumer=lambda: Consumer(reader_config(client)),
        topic=topic,
        audit_topic=audit,
        dead_letter_topic=DEAD_LETTERS,  # nothing is refused here, and it stays unused
        worker_id="bench",
    )
    with tempfile.TemporaryDirectory() as folder, closing(writer):
        follower = Follower(
            new_consumer=lambda: Consumer(follower_config(client)),
            admin=admin_client(settings),
            topic=topic,
            overrides={},
            last_known=Path(folder) / "flags.json",
            observer=seen,
        )
        follower.start()
        try:
            for number, edit in enumerate(_edits(dice, revisions)):
                flags = seen.at(writer.write(edit).revision)
                due = decisions * (number + 1) // revisions - len(past)
                past += [_ask(flags, dice) for _ in range(due)]
        finally:
            follower.stop()
    return past


def _edits(dice: random.Random, revisions: int) -> Iterator[Edit]:
    """Yield changes as people make them: one flag at a time, its percentage, its rules, now and then its salt."""
    for number in range(revisions):
        name = f"bench_{dice.randrange(_FLAGS)}"
        fields: dict[str, Any] = {
            "enabled": dice.random() < 0.9,  # noqa: PLR2004 - now and then one is off
            "rollout_percentage": dice.randrange(100_001) / 1_000,
            "salt": dice.choice(["", f"salt-{number}"]),
            "rules": [_rule(dice) for _ in range(dice.randrange(4))],
        }
        yield Edit(name=name, fields=fields, create=True, replace=True, changed_by="bench", reason="bench flags")


def _rule(dice: random.Random) -> dict[str, Any]:
    countries = dice.sample(_COUNTRIES, 2)
    conditions = [
        {"attribute": "plan", "operator": "equals", "values": [dice.choice(_PLANS)]},
        {"attribute": "country", "operator": "in", "values": countries, "negated": dice.random() < 0.5},  # noqa: PLR2004 - a coin
    ]
    return {"conditions": dice.sample(conditions, dice.randint(1, 2)), "rollout_percentage": float(dice.randrange(101))}


def _ask(flags: Snapshot, dice: random.Random) -> PastDecision:
    attributes = {"plan": dice.choice(_PLANS), "country": dice.choice(_COUNTRIES)}
    context = Context(user_id=f"user-{dice.randrange(_USERS)}", attributes=attributes)
    name = dice.choice(flags.names)
    answer = flags.evaluate(name, context)
    return PastDecision(flags.revision, name, context, answer.value, answer.variant)


class _Seen:
    """What the follower shows, handed over snapshot by snapshot."""

    def __init__(self) -> None:
        self._snapshots: queue.SimpleQueue[Snapshot] = queue.SimpleQueue()

    def at(self, revision: int) -> Snapshot:
        """Return the snapshot of a revision.

        Raises:
            UnavailableError: It is not shown.
        """
        try:
            while (snapshot := self._snapshots.get(timeout=_APPLIED_SECONDS)).revision < revision:
                pass
        except queue.Empty as error:
            raise UnavailableError(f"The follower has not applied revision {revision}.") from error
        return snapshot

    def applied(self, snapshot: Snapshot) -> None:
        """Hand a snapshot over."""
        self._snapshots.put(snapshot)

    def refused(self, record: RefusedRecord) -> None:
        """Ignore it: then the revision is missing, and that is told."""

    def broker_error(self, code: str) -> None:
        """Ignore what librdkafka mends by itself."""

    def unexpected(self, guard: str) -> None:
        """Ignore it: then the revision is missing, and that is told."""
