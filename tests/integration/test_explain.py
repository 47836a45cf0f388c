"""A decision is explained as it was taken, from what stands on the topics and nothing else."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from confluent_kafka import Producer

from models.learning.lessons import lesson_key
from schemas.events import (
    Alternative,
    Attempt,
    Condition,
    CorrectionVerdict,
    FlagChange,
    Outcome,
    Result,
    Rule,
    Source,
    Timings,
    Utterance,
    Withdrawal,
)
from streams.topics import CORRECTIONS_AUDIT, FLAGS_AUDIT, RESULTS, UTTERANCES
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.command import run_command

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

AT = "2026-11-23T09:00:00.000Z"
DAY_SECONDS = 86_400
WORDS = "planted words of a user"


class Archive:
    """A broker with a past."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self._producer = Producer({"bootstrap.servers": broker})

    def write(
        self, topic: str, event: Any, *, partition: int = 0, key: str = "key", seconds_ago: float = 0.0
    ) -> Source:
        """Append an event; return where it stands."""
        stood: list[Source] = []
        self._producer.produce(
            topic,
            msgspec.json.encode(event),
            key,
            partition,
            timestamp=int((time.time() - seconds_ago) * 1000),
            on_delivery=lambda _error, record: stood.append(
                Source(topic=topic, partition=partition, offset=record.offset() or 0)
            ),
        )
        assert self._producer.flush(30) == 0
        return stood[0]

    def flag(self, revision: int, name: str = "quality_mode", **state: Any) -> None:
        change = FlagChange(
            name=name, revision=revision, changed_by="ada", reason=f"why {revision}", changed_at=AT, **state
        )
        self.write(FLAGS_AUDIT, change, key=name)

    def explain(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return run_command("explain", *arguments, KAFKA__BOOTSTRAP_SERVERS=self.broker)

    def explained(self, *arguments: str) -> Any:
        done = self.explain(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        create_our_topics(server.endpoint, partitions=2)
        archive = Archive(server.endpoint)
        gold = Rule(conditions=(Condition(attribute="plan", operator="equals", values=("gold",)),))
        archive.flag(1, enabled=True, rollout_percentage=0.0, rules=(gold,))
        archive.flag(2, "caching", enabled=False)
        archive.flag(3, enabled=False)
        yield archive


def result_of(result_id: str, **state: Any) -> Result:
    usual: dict[str, Any] = {
        "utterance_id": "u1",
        "intent": "refund",
        "confidence": 0.93,
        "alternatives": (Alternative(intent=None, confidence=0.04),),
        "tier": "zero_shot",
        "tried": (
            Attempt(tier="rules", outcome=Outcome.UNSURE, reason="0.48 is less than 0.6", seconds=0.001),
            Attempt(tier="zero_shot", outcome=Outcome.ANSWERED, seconds=0.02),
        ),
        "strategy": "quality",
        "release": "bundled-1",
        "user_id": "user-7",
        "timings": Timings(queue_seconds=0.015, classify_seconds=0.021),
    }
    return Result(id=result_id, **usual | state)


def test_flags_are_told_as_they_were_for_that_user_then(archive: Archive) -> None:
    utterance = Utterance(text=WORDS, user_id="user-7", attributes={"plan": "gold"})
    said = archive.write(UTTERANCES, utterance, partition=1, seconds_ago=3 * DAY_SECONDS)
    archive.write(RESULTS, result_of(str(said), flags_revision=2), partition=1, seconds_ago=3 * DAY_SECONDS)
    answer = archive.explained(str(said))
    flags = {flag["name"]: flag for flag in answer["flags"]}
    assert answer["flags_known"] is True
    assert (flags["quality_mode"]["value"], flags["quality_mode"]["revision"]) == (True, 1)
    assert (flags["caching"]["value"], flags["caching"]["changed_because"]) == (False, "why 2")
    assert (flags["adaptive_routing"]["value"], flags["adaptive_routing"]["revision"]) == (True, 0)
    assert answer["result"]["tried"][0]["reason"] == "0.48 is less than 0.6"

    shown = archive.explain(str(said)).stdout.decode()
    assert "refund, confidence 0.9300, by zero_shot" in shown
    assert "rules unsure: 0.48 is less than 0.6 (1.0 ms)" in shown
    assert "as of revision 2" in shown
    assert WORDS not in shown + json.dumps(answer)


def test_a_result_of_http_is_looked_for_as_far_back_as_is_wanted(archive: Archive) -> None:
    archive.write(RESULTS, result_of("http/one/result"), partition=1, seconds_ago=2 * DAY_SECONDS)
    gone = archive.explain("http/one/result")
    assert gone.returncode == 66
    assert b"--since looks further" in gone.stderr
    assert archive.explained("http/one/result", "--since", "3d")["utterance_there"] is False


def test_the_correction_that_decided_is_told_and_what_became_of_it(archive: Archive) -> None:
    key = lesson_key("money back")
    for revision, person in ((4, "ada"), (6, "eve")):
        verdict = CorrectionVerdict(
            verdict="accepted",
            code="agreed",
            reason="1 person says so.",
            utterance_id="u0",
            intent="refund",
            person_id=person,
            people=1,
            lesson=key if revision == 6 else "another",
            revision=revision,
            judged_at=AT,
        )
        archive.write(CORRECTIONS_AUDIT, verdict)
    withdrawal = Withdrawal(
        person_id="eve",
        code="forgotten",
        reason="Nobody else said anything of this text.",
        lesson=key,
        revision=6,
        source=Source(topic="t", partition=0, offset=0),
        asked_by="bob",
        asked_at=AT,
        withdrawn_at=AT,
    )
    archive.write(CORRECTIONS_AUDIT, withdrawal)
    archive.write(RESULTS, result_of("http/two/result", tier="corrections", corrections_revision=6, lesson=6))
    lesson = archive.explained("http/two/result")["lesson"]
    assert (lesson["verdict"]["person_id"], lesson["since"]["code"]) == ("eve", "forgotten")
    shown = archive.explain("http/two/result").stdout.decode()
    assert "lesson 6 decided: eve said refund" in shown
    assert "since then forgotten" in shown


def test_flags_that_the_audit_no_longer_tells_of_are_said_to_be_unknown(archive: Archive) -> None:
    archive.write(RESULTS, result_of("http/three/result", flags_revision=99))
    assert archive.explained("http/three/result")["flags_known"] is False
