"""What a worker decided is decided again from the topics alone: by its own flags, corrections and release, the same."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from flags.admin import admin_client
from schemas.errors import UnknownFlagError
from schemas.server_settings import Kafka
from schemas.settings import Settings
from streams.replay.publishing import RefusedTopicError
from streams.replay.releases import LostReleaseError
from streams.replay.replay import Question, replay
from streams.topics import UTTERANCES
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.command import run_command
from tests.kit.ledger import Ledger
from tests.kit.load import Record, publish
from tests.kit.waiting import wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.drills.conftest import Show

pytestmark = pytest.mark.drill

PORTION = 200
USERS = 97
INTO = "intents.replay.drill"
REPLAY_OF = "intentstream.replay.of-result"


class Stage(NamedTuple):
    """A flag that changes, to what, and how a text is corrected, before the next portion is said."""

    flag: str
    state: dict[str, Any]
    intent: str


STAGES = (
    Stage("quality_mode", {"enabled": True, "rollout_percentage": 30.0}, "talk_to_agent"),
    Stage("zero_shot_fallback", {"enabled": False}, "order_status"),
    Stage("performance_mode", {"enabled": True, "rollout_percentage": 50.0}, "talk_to_agent"),
)


class Past:
    """A worker's day: texts answered, flags and corrections changing in between.

    Args:
        worker: That is ready.
        broker: Where it works.
        ledger: Of the broker.
    """

    def __init__(self, worker: WorkerProcess, broker: str, ledger: Ledger) -> None:
        self._worker = worker
        self._broker = broker
        self._ledger = ledger

    def live(self, texts: Sequence[str], *, seconds: float = 120.0) -> None:
        """Have texts answered; return when all are."""
        published = 0
        for number, portion in enumerate(portions_of(texts)):
            if number:
                stage = STAGES[number - 1]
                self._correct(portion[0], stage.intent, utterance_id(number, 0))
                self._change(stage)
            published += publish(self._broker, said(portion, number))
            self._ledger.wait_for_answers(published, seconds=seconds)

    def _change(self, stage: Stage) -> None:
        change = stage.state | {"reason": "A drill", "changed_by": "tests"}
        status, answer = self._worker.patch(f"/api/v1/feature-flags/{stage.flag}?wait=all", change, seconds=60)
        assert status == 200, answer

    def _correct(self, text: str, intent: str, utterance: str) -> None:
        """Have two people correct a text, and wait until the worker answers so."""
        for person in ("ada", "bob"):
            body = {"utterance_id": utterance, "person_id": person, "text": text, "intent": intent}
            assert self._worker.post("/api/v1/feedback", body)[0] == 201
        wait_until(lambda: self._tier_of(text) == "corrections", "it is answered as people corrected it")

    def _tier_of(self, text: str) -> str | None:
        status, answer = self._worker.classify(text)
        return answer["result"]["tier"] if status == 200 else None


def portions_of(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start :: len(STAGES) + 1] for start in range(len(STAGES) + 1)]


def utterance_id(portion: int, number: int) -> str:
    return f"replay-{portion}-{number}"


def said(texts: Sequence[str], portion: int) -> Iterator[Record]:
    for number, text in enumerate(texts):
        user = f"user-{number % USERS}"
        utterance = {"text": text, "id": utterance_id(portion, number), "user_id": user}
        yield Record(json.dumps(utterance).encode(), user.encode(), [])


def texts_of(data: Path, count: int) -> list[str]:
    """Return texts of CLINC150, of all its intents, the out-of-scope ones among them."""
    sources = [data / "clinc150" / f"{name}.jsonl" for name in ("train", "oos_test", "val")]
    texts = [json.loads(line)["text"] for source in sources for line in source.read_text().splitlines()]
    return texts[:: max(1, len(texts) // count)][:count]


def wait_until_nothing_loads(worker: WorkerProcess) -> None:
    """Wait until all that decides is there; it is prepared on first use."""
    worker.wait_until_ready(240.0)
    for event in ('"policy_ready"', '"nearness_ready"'):
        wait_until(lambda event=event: event in worker.log, event, seconds=240.0)  # type: ignore[misc]  # mypy knows no such lambda


class Archive:
    """What is left when the worker is gone, and the command that replays it."""

    def __init__(self, broker: str, models: Path) -> None:
        self._broker = broker
        self._models = models

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        whole = ("replay", "--from", "1h", *arguments)
        return run_command(*whole, KAFKA__BOOTSTRAP_SERVERS=self._broker, STATE_FOLDER=self._models)

    def report(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def refuse(self, **question: Any) -> None:
        """Ask for what is to be refused, without a process of its own."""
        settings = Settings(state_folder=self._models, kafka=Kafka(bootstrap_servers=self._broker))
        asyncio.run(replay(settings, Question(begin=time.time() - 3_600, end=time.time(), **question)))

    def create(self, topic: str) -> None:
        self._admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)

    def take_away(self, partition: int) -> int:
        """Have retention take a partition's utterances; return how many there were."""
        consumer = Consumer({"bootstrap.servers": self._broker, "group.id": "drill"})
        place = TopicPartition(UTTERANCES, partition)
        _, end = consumer.get_watermark_offsets(place, timeout=30)
        consumer.close()
        self._admin.delete_records([TopicPartition(UTTERANCES, partition, end)])[place].result(30)
        return end

    def published(self, topic: str, count: int) -> list[tuple[dict[str, Any], dict[str, bytes]]]:
        """Return the events and the headers that stand on a topic of one partition."""
        consumer = Consumer({"bootstrap.servers": self._broker, "group.id": "drill"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        records = consumer.consume(count, 60)
        consumer.close()
        return [(json.loads(record.value() or b""), dict(record.headers() or ())) for record in records]  # type: ignore[arg-type]  # their values are bytes

    @property
    def _admin(self) -> Any:
        return admin_client({"bootstrap.servers": self._broker})


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, prepared_models: Path, data_folder: Path) -> Iterator[Archive]:
    """A broker with a past of its own."""
    folder = tmp_path_factory.mktemp("replay")
    with running_broker(folder / "kafka") as broker:
        create_our_topics(broker.endpoint)
        worker = WorkerProcess(
            broker.endpoint,
            state_folder=prepared_models,
            log_file=folder / "worker.log",
            INTAKE__BROWN_OUT_AFTER_SECONDS=0,  # the drill is about what else decides
            CHAIN__TIER_DEADLINE_SECONDS=60,
        )
        with worker, Ledger(broker.endpoint) as ledger:
            wait_until_nothing_loads(worker)
            Past(worker, broker.endpoint, ledger).live(texts_of(data_folder, PORTION * (len(STAGES) + 1)))
            worker.terminate()
        yield Archive(broker.endpoint, prepared_models)


def test_a_stretch_is_replayed_as_it_was_and_as_it_would_be(archive: Archive, show: Show) -> None:
    utterances = PORTION * (len(STAGES) + 1)
    as_it_was = archive.report()
    differences = as_it_was["differences"]
    show(f"{as_it_was['results_per_second']:.0f} a second; {differences['scores_by_tier']}")
    assert differences["compared"] == utterances
    assert set(as_it_was["left_out"]) == {"of_http"}
    assert differences["tiers_before"]["corrections"] >= len(STAGES)
    for tier in ("rules", "corrections"):
        assert differences["scores_by_tier"][tier]["largest"] == 0.0
    assert (differences["labels_changed"], differences["scores"]["beyond_tolerance"]) == (0, 0)
    assert differences["tiers_after"] == differences["tiers_before"]
    assert differences["tiers_before"].keys() == {"rules", "zero_shot", "corrections"}
    assert differences["judged"] == {"results": 3, "right_before": 3, "right_after": 3}

    archive.create(INTO)
    gone = archive.take_away(0)
    would_be = archive.report("--flag", "zero_shot_fallback=off", "--release", "serving", "--into", INTO)
    left = utterances - gone
    assert gone > 0
    assert would_be["left_out"]["utterance_gone"] == gone
    assert would_be["differences"]["compared"] == would_be["published"] == left
    assert set(would_be["differences"]["tiers_after"]) == {"rules", "corrections"}
    published = archive.published(INTO, left)
    assert all(headers[REPLAY_OF].decode() == event["id"] for event, headers in published)
    assert {event["tier"] for event, _ in published} == {"rules", "corrections"}


@pytest.mark.parametrize(
    ("question", "refusal", "why"),
    [
        ({"into": "intents.results.v1"}, RefusedTopicError, r"names begin with intents\.replay\."),
        ({"into": "intents.replay.misspelt"}, RefusedTopicError, "There is no topic"),
        ({"flags": {"qualty_mode": True}}, UnknownFlagError, "There is no flag 'qualty_mode'"),
        ({"release": "0123456789ab"}, LostReleaseError, "cannot be opened here"),
    ],
)
def test_what_makes_no_sense_is_refused(
    archive: Archive, question: dict[str, Any], refusal: type[Exception], why: str
) -> None:
    with pytest.raises(refusal, match=why):
        archive.refuse(**question)
