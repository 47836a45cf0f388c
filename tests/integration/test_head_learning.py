"""Corrections become a release: made by the elected worker, judged, announced, served, explained, taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from schemas.server_settings import Kafka
from schemas.settings import Settings
from streams.reader import TopicReader
from streams.topics import CORRECTIONS_AUDIT, RESULTS
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.command import run_command
from tests.kit.gift_shop import CORRECTIONS, DAYS, SHOP
from tests.kit.load import publish, utterances
from tests.kit.waiting import wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENOUGH = 14
CALM = [f"{what} {when}" for what in ("please wrap it as a gift", "track my order") for when in DAYS]
TRAFFIC = 30
SHADOWED = 20
SHADOW = {"LEARNING__SHADOW_TEXTS": SHADOWED, "LEARNING__SHADOW_SECONDS": 0}


class Shop:
    """A worker that learns, and what it says of that."""

    def __init__(self, worker: WorkerProcess, broker: str, catalogue: Path) -> None:
        self.worker = worker
        self._broker = broker
        self._catalogue = catalogue

    def correct(self, texts: list[str], intent: str) -> None:
        for number, text in enumerate(texts):
            said = {"utterance_id": f"u{number}", "person_id": f"p{number}", "text": text, "intent": intent}
            assert self.worker.post("/api/v1/feedback", said)[0] == 201

    def challenges(self) -> list[Any]:
        """Return what the audit says of heads."""
        return [value for value in self._audited() if "champion" in value]

    def _audited(self) -> list[Any]:
        settings = Settings(kafka=Kafka(bootstrap_servers=self._broker))
        with TopicReader(settings, [CORRECTIONS_AUDIT], start="beginning") as reader:
            return [json.loads(record.value() or b"") for record in reader.read_to_end()]

    def models(self, *arguments: str) -> Any:
        done = run_command(
            "models", *arguments, "--json", KAFKA__BOOTSTRAP_SERVERS=self._broker, MODELS__CATALOGUE=self._catalogue
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def forget(self, person: str) -> None:
        done = run_command(
            "feedback", "forget", "--user", person, "--reason", "a test", KAFKA__BOOTSTRAP_SERVERS=self._broker
        )
        assert done.returncode == 0, done.stderr.decode()

    def wait_until_serving(self, part: str) -> None:
        wait_until(lambda: part in self.release, f"{part} serves", also=lambda: self.worker.log[-6_000:])

    @property
    def release(self) -> str:
        release: str = json.loads(self.worker.get("/health") or "{}").get("releaseId", "")
        return release

    def say(self, count: int) -> None:
        """Have people say something that was not said before."""
        new = [f"{text} please" for text in CORRECTIONS]
        publish(self._broker, utterances(count, texts=[text for pair in zip(new, CALM, strict=False) for text in pair]))

    def answered_by(self) -> set[str]:
        """Return the releases that answered."""
        settings = Settings(kafka=Kafka(bootstrap_servers=self._broker))
        with TopicReader(settings, [RESULTS], start="beginning") as reader:
            return {json.loads(record.value() or b"")["release"] for record in reader.read_to_end()}

    def verdicts(self) -> list[Any]:
        """Return what the audit says of those that were tried."""
        return [value for value in self._audited() if "stage" in value]


@pytest.fixture
def learning() -> dict[str, Any]:
    """How a better head comes to serve."""
    return {"LEARNING__RELEASE_BY": "at_once"}


@pytest.fixture
def shop(tmp_path: Path, learning: dict[str, Any]) -> Iterator[Shop]:
    (tmp_path / "shop.yaml").write_text(SHOP, "utf-8")
    with running_broker(tmp_path / "kafka") as server:
        create_our_topics(server.endpoint, 2)
        publish(server.endpoint, utterances(TRAFFIC, texts=CORRECTIONS))
        worker = WorkerProcess(
            server.endpoint,
            state_folder=tmp_path / "worker",
            log_file=tmp_path / "worker.log",
            MODELS__CATALOGUE=tmp_path / "shop.yaml",
            MODELS__STORE=tmp_path / "store",
            LEARNING__RETRAIN_AFTER=ENOUGH,
            **learning,
        )
        with worker:
            worker.wait_until_ready()
            yield Shop(worker, server.endpoint, tmp_path / "shop.yaml")


def test_what_corrections_teach_is_released_once_it_is_better_and_can_be_taken_back(shop: Shop) -> None:
    shop.correct(CORRECTIONS[: ENOUGH - 1], "opening_hours")
    wait_until(lambda: shop.worker.metric("intentstream_corrections_revision") == ENOUGH - 1, "all but one are learnt")
    assert shop.challenges() == []
    shop.correct(CORRECTIONS[ENOUGH - 1 :], "opening_hours")
    wait_until(lambda: bool(shop.challenges()), "the audit tells of a head", also=lambda: shop.worker.log[-6_000:])
    [challenge] = shop.challenges()
    assert challenge["code"] == "better", challenge["reason"]
    assert (challenge["corrections"], challenge["lessons"], challenge["traffic"]) == (ENOUGH, ENOUGH, TRAFFIC)
    assert challenge["challenger"] > challenge["champion"]
    shop.wait_until_serving(f"+zero_shot.{challenge['release']}")
    assert shop.worker.metric("intentstream_head_challenges_total") == 1
    assert shop.models("list")["serving"]["zero_shot"]["changed_by"] == "learner"
    untaught = shop.models("rollback", "zero_shot", "--reason", "to see it go back")["release"]
    shop.wait_until_serving(f"+zero_shot.{untaught}")
    assert len(shop.challenges()) == 1  # and the same is not made again of the same


def test_what_is_forgotten_leaves_the_head_that_serves_and_does_not_come_back_with_an_older_one(shop: Shop) -> None:
    shop.correct(CORRECTIONS, "opening_hours")
    wait_until(lambda: len(shop.challenges()) == 1, "a head is released", also=lambda: shop.worker.log[-6_000:])
    taught = shop.challenges()[0]["release"]
    shop.wait_until_serving(f"+zero_shot.{taught}")
    shop.forget("p1")
    wait_until(lambda: len(shop.challenges()) == 2, "another is made", also=lambda: shop.worker.log[-6_000:])
    challenge = shop.challenges()[1]
    assert (challenge["code"], challenge["corrections"]) == ("forgotten", ENOUGH - 1)
    shop.wait_until_serving(f"+zero_shot.{challenge['release']}")
    shop.models("rollback", "zero_shot", "--reason", "to see whether it stays")
    wait_until(lambda: len(shop.challenges()) == 3, "and once more", also=lambda: shop.worker.log[-6_000:])
    challenge = shop.challenges()[2]
    assert challenge["code"] == "forgotten"
    assert challenge["release"] != taught
    shop.wait_until_serving(f"+zero_shot.{challenge['release']}")


@pytest.mark.parametrize("learning", [SHADOW])
def test_a_better_head_is_tried_beside_what_serves_before_it_serves_itself(shop: Shop) -> None:
    shop.correct(CORRECTIONS, "opening_hours")
    wait_until(lambda: bool(shop.challenges()), "a head is better", also=lambda: shop.worker.log[-6_000:])
    [challenge] = shop.challenges()
    wait_until(
        lambda: shop.worker.metric("intentstream_candidate") == 1,
        "the worker tries it",
        also=lambda: shop.worker.log[-6_000:],
    )
    assert f"+zero_shot.{challenge['release']}" not in shop.release
    shop.say(2 * SHADOWED)
    shop.wait_until_serving(f"+zero_shot.{challenge['release']}")
    wait_until(lambda: bool(shop.verdicts()), "the audit says why")
    [verdict] = shop.verdicts()
    assert (verdict["release"], verdict["code"]) == (challenge["release"], "promoted")
    assert verdict["texts"] >= SHADOWED
    assert "users are too few for a rollout" in verdict["reason"]
    assert shop.models("list")["serving"]["zero_shot"]["changed_by"] == "trial-controller"
    untaught = shop.models("rollback", "zero_shot", "--reason", "to see it go back")["release"]
    shop.wait_until_serving(f"+zero_shot.{untaught}")
    assert len(shop.challenges()) == 1  # and the same is not made again of the same


@pytest.mark.parametrize("learning", [{**SHADOW, "LEARNING__ROLLOUT_USERS": 10}])
def test_rolled_out_it_answers_a_share_of_the_users_until_one_command_ends_that(shop: Shop) -> None:
    shop.correct(CORRECTIONS, "opening_hours")
    wait_until(
        lambda: shop.worker.metric("intentstream_candidate") == 1,
        "the worker tries it",
        also=lambda: shop.worker.log[-6_000:],
    )
    shop.say(2 * SHADOWED)
    wait_until(lambda: bool(shop.verdicts()), "it is judged", also=lambda: shop.worker.log[-6_000:])
    [verdict] = shop.verdicts()
    assert verdict["code"] == "rolled_out", verdict["reason"]
    flag = f"/api/v1/feature-flags/candidate_zero_shot_{verdict['release']}"
    wait_until(lambda: '"rollout_percentage":10' in shop.worker.get(flag), "a tenth of the users are to have it")
    candidate = f"+zero_shot.{verdict['release']}"

    def is_mixed() -> bool:
        shop.say(200)
        return len({candidate in release for release in shop.answered_by()}) == 2

    wait_until(is_mixed, "some are answered by the one and some by the other", also=lambda: shop.worker.log[-6_000:])
    assert candidate not in shop.release
    ended = shop.models("rollback", "zero_shot", "--reason", "we have seen enough")
    assert (ended["release"], ended["trial"]["stage"]) == (verdict["release"], "withdrawn")
    wait_until(lambda: shop.worker.metric("intentstream_candidate") == 0, "nobody is answered by it any more")
    wait_until(lambda: '"rollout_percentage"' not in shop.worker.get(flag), "its flag is gone")
