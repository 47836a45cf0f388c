"""`intentstream rollout` against a real broker: what is asked for is done or refused with every reason, and shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.command import run_command

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

WHY = ("--reason", "a test", "--by", "ada")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        create_our_topics(server.endpoint, 2)
        yield server.endpoint


def rollout(broker: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return run_command("rollout", *arguments, KAFKA__BOOTSTRAP_SERVERS=broker)


def answer(broker: str, *arguments: str) -> Any:
    done = rollout(broker, *arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_rollout_is_started_shown_steered_and_ended(broker: str) -> None:
    limits = ("--steps", "10,50,100", "--step-seconds", "5", "--step-utterances", "20")
    guardrails = ("--guardrail", "error_rate=1.2", "--guardrail", "p95_latency=1.5")
    started = answer(broker, "start", "distilbert_model", *limits, *guardrails, *WHY)
    assert (started["percentage"], started["changed_by"], started["reason"]) == (10, "ada", "a test")
    assert answer(broker, "skip", "distilbert_model", *WHY)["percentage"] == 50
    assert answer(broker, "pause", "distilbert_model", *WHY)["rollout"]["state"] == "paused"
    assert answer(broker, "resume", "distilbert_model", *WHY)["rollout"]["step"] == 1
    (shown,) = answer(broker, "status")
    assert (shown["verdict"], shown["treated"], shown["control"]) == ("hold", 0, 0)
    assert [each["metric"] for each in shown["guardrails"]] == ["error_rate", "p95_latency"]
    told = rollout(broker, "status", "distilbert_model").stdout.decode()
    assert "distilbert_model: running at 50 %, step 2 of 10, 50, 100" in told
    assert answer(broker, "abort", "distilbert_model", *WHY)["percentage"] == 0
    assert answer(broker, "status")[0]["rollout"]["state"] == "aborted"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("start", "unheard_of", *WHY), 64, "There is no flag 'unheard_of'"),
        (("start", "caching", *WHY), 65, "everyone has it already"),
        (("start", "quality_mode", "--steps", "50,10", *WHY), 65, "the steps 50, 10 do not rise"),
        (("start", "quality_mode", "--steps", "ten", *WHY), 2, "are not percentages"),
        (("start", "quality_mode", "--guardrail", "beauty", *WHY), 2, "is none of error_rate"),
        (("start", "quality_mode", "--guardrail", "error_rate=x", *WHY), 2, "is not METRIC=RATIO"),
        (("start", "quality_mode", "--guardrail", "error_rate=0.5", *WHY), 65, "guardrails: Expected `float` >= 1"),
        (("start", "quality_mode", "--step-utterances", "0", *WHY), 65, "step_utterances: Expected `int` >= 1"),
        (("start", "quality_mode", "--alpha", "0.9", *WHY), 65, "alpha: Expected `float` <= 0.5"),
        (("start", "quality_mode"), 2, "--reason"),
        (("pause", "quality_mode", *WHY), 65, "it has no rollout"),
        (("status", "quality_mode"), 64, "There is no rollout of 'quality_mode'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    broker: str, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    done = rollout(broker, *arguments)
    assert (done.returncode, said in done.stderr.decode()) == (exit_code, True), done.stderr.decode()
