"""What OpenFeature's own SDK gets from our provider, and is told by it, on a real log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from flags.edits import Edit
from flags.openfeature import FlagsProvider
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.flags import FlagTopics, turn
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openfeature.client import OpenFeatureClient

    from infra.embedded.server import EmbeddedServer

ADA = EvaluationContext("ada", {"plan": "gold"})
STALE_SECONDS = 1.0
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "flags.md"
GOLD = {"conditions": [{"attribute": "plan", "operator": "equals", "values": ["gold"]}]}


@pytest.fixture(autouse=True)
def _nobody_provides_afterwards() -> Iterator[None]:
    yield
    api.shutdown()
    api.clear_providers()


@pytest.fixture
def topics(kafka: EmbeddedServer, tmp_path: Path) -> Iterator[FlagTopics]:
    with FlagTopics(kafka.endpoint, tmp_path) as topics:
        yield topics


def new_provider(topics: FlagTopics, folder: Path, **options: Any) -> FlagsProvider:
    return FlagsProvider.connect(
        topics.client["bootstrap.servers"],
        topic=topics.changelog,
        last_known=folder / "provider.json",
        client={"logger": topics.client["logger"], "reconnect.backoff.max.ms": 500},
        stale_seconds=STALE_SECONDS,
        **options,
    )


def new_client(topics: FlagTopics, folder: Path) -> OpenFeatureClient:
    topics.settle()
    api.set_provider_and_wait(new_provider(topics, folder))
    return api.get_client()


def variants(**values: Any) -> Edit:
    """Return an edit that makes a flag whose first variant everybody gets."""
    share = dict.fromkeys(values, 0.0) | {next(iter(values)): 100.0}
    listed = [{"name": name, "value": value, "weight": share[name]} for name, value in values.items()]
    fields = {"enabled": True, "variants": listed, "off_variant": next(iter(values))}
    return Edit(name="valued", fields=fields, create=True, replace=True, changed_by="tests")


def test_a_boolean_comes_with_its_reason_variant_and_version(topics: FlagTopics, tmp_path: Path) -> None:
    topics.writer().write(turn("quality_mode", on=True, rules=[GOLD], rollout_percentage=0.0))
    client = new_client(topics, tmp_path)
    gold = client.get_boolean_details("quality_mode", False, ADA)  # noqa: FBT003 - the SDK's own order
    assert (gold.value, gold.variant, gold.reason) == (True, "on", Reason.TARGETING_MATCH)
    assert gold.flag_metadata == {"version": 1, "origin": "changelog"}
    free = client.get_boolean_details("quality_mode", True, EvaluationContext("bob"))  # noqa: FBT003 - likewise
    assert (free.value, free.variant) == (False, "off")


def test_a_flag_that_nobody_has_changed_is_its_default(topics: FlagTopics, tmp_path: Path) -> None:
    answer = new_client(topics, tmp_path).get_boolean_details("caching", False, ADA)  # noqa: FBT003 - likewise
    assert (answer.value, answer.reason, answer.flag_metadata["origin"]) == (True, Reason.DEFAULT, "default")


@pytest.mark.parametrize(
    ("getter", "value", "default"),
    [
        ("get_string_details", "red", "none"),
        ("get_integer_details", 7, 0),
        ("get_float_details", 0.5, 0.0),
        ("get_float_details", 7, 0.0),
        ("get_object_details", {"colour": "red", "size": 3}, {}),
    ],
)
def test_values_of_every_type_are_resolved(
    topics: FlagTopics, tmp_path: Path, getter: str, value: object, default: object
) -> None:
    topics.writer().write(variants(first=value))
    answer = getattr(new_client(topics, tmp_path), getter)("valued", default, ADA)
    assert (answer.value, answer.variant, answer.error_code) == (value, "first", None)
    assert isinstance(answer.value, type(default))


@pytest.mark.parametrize(
    ("getter", "value", "default"),
    [
        ("get_boolean_details", "red", False),
        ("get_string_details", 7, "none"),
        ("get_integer_details", True, 0),
        ("get_integer_details", 0.5, 0),
        ("get_float_details", "red", 0.0),
        ("get_object_details", "red", {}),
    ],
)
def test_a_value_of_another_type_is_a_mismatch_and_the_callers_default(
    topics: FlagTopics, tmp_path: Path, getter: str, value: object, default: object
) -> None:
    edit = turn("caching", on=True) if value is True else variants(first=value)
    topics.writer().write(edit)
    answer = getattr(new_client(topics, tmp_path), getter)(edit.name, default, ADA)
    assert (answer.value, answer.error_code, answer.reason) == (default, ErrorCode.TYPE_MISMATCH, Reason.ERROR)


def test_a_percentage_without_a_user_is_the_callers_default(topics: FlagTopics, tmp_path: Path) -> None:
    topics.writer().write(turn("caching", on=True, rollout_percentage=50.0))
    answer = new_client(topics, tmp_path).get_boolean_details("caching", True)  # noqa: FBT003 - likewise
    assert (answer.value, answer.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)


def test_a_flag_that_does_not_exist_is_the_callers_default(topics: FlagTopics, tmp_path: Path) -> None:
    answer = new_client(topics, tmp_path).get_boolean_details("cashing", True, ADA)  # noqa: FBT003 - likewise
    assert (answer.value, answer.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)


def test_a_provider_that_was_never_initialised_says_so(topics: FlagTopics, tmp_path: Path) -> None:
    answer = new_provider(topics, tmp_path).resolve_boolean_details("caching", default_value=False)
    assert (answer.value, answer.error_code) == (False, ErrorCode.PROVIDER_NOT_READY)


def test_clients_are_told_which_flags_have_changed(topics: FlagTopics, tmp_path: Path) -> None:
    writer, told = topics.writer(), list[EventDetails]()
    writer.write(turn("quality_mode", on=True))
    client = new_client(topics, tmp_path)
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, told.append)
    writer.write(turn("caching", on=False))
    wait_until(lambda: bool(told), "the client is told")
    assert [each.flags_changed for each in told] == [["caching"]]
    assert not client.get_boolean_value("caching", True, ADA)  # noqa: FBT003 - likewise


def test_it_says_that_it_is_stale_while_the_broker_is_away_and_answers_all_the_same(tmp_path: Path) -> None:
    with running_broker(tmp_path / "broker") as broker, FlagTopics(broker.endpoint, tmp_path) as topics:
        writer = topics.writer()
        writer.write(turn("caching", on=False))
        client, events = new_client(topics, tmp_path), list[str]()
        client.add_handler(ProviderEvent.PROVIDER_STALE, lambda _details: events.append("stale"))
        client.add_handler(ProviderEvent.PROVIDER_READY, lambda _details: events.append("ready"))
        wait_until(lambda: events[:1] == ["ready"], "it is ready")
        broker.stop()
        wait_until(lambda: client.get_provider_status() is ProviderStatus.STALE, "it is stale")
        assert not client.get_boolean_value("caching", True, ADA)  # noqa: FBT003 - likewise
        broker.start()
        wait_until(lambda: client.get_provider_status() is ProviderStatus.READY, "it is ready again")
        writer.write(turn("caching", on=True))
        wait_until(lambda: client.get_boolean_value("caching", False, ADA), "it follows again")  # noqa: FBT003 - likewise
        wait_until(lambda: events[-2:] == ["stale", "ready"], "its clients were told")


def test_without_broker_and_without_a_past_it_is_in_error_until_the_broker_comes(tmp_path: Path) -> None:
    with running_broker(tmp_path / "broker") as broker, FlagTopics(broker.endpoint, tmp_path) as topics:
        broker.stop()
        with pytest.raises(ProviderNotReadyError):
            api.set_provider_and_wait(new_provider(topics, tmp_path, ready_seconds=0.2))
        client = api.get_client()
        assert client.get_provider_status() is ProviderStatus.ERROR
        broker.start()
        wait_until(lambda: client.get_provider_status() is ProviderStatus.READY, "it has read the flags")


def test_it_starts_with_the_flags_it_had_though_the_broker_is_away(topics: FlagTopics, tmp_path: Path) -> None:
    topics.writer().write(turn("caching", on=False))
    topics.settle()
    first = new_provider(topics, tmp_path)
    first.initialize(ADA)
    first.shutdown()
    topics.client["bootstrap.servers"] = "127.0.0.1:1"
    api.set_provider_and_wait(new_provider(topics, tmp_path, ready_seconds=0.2))
    client = api.get_client()
    assert client.get_boolean_details("caching", True, ADA).flag_metadata["origin"] == "snapshot"  # noqa: FBT003 - likewise
    wait_until(lambda: client.get_provider_status() is ProviderStatus.STALE, "it says how old they may be")


def test_the_example_in_the_documentation_runs(
    kafka: EmbeddedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create_our_topics(kafka.endpoint)
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    (example,) = [block for block in blocks if "FlagsProvider" in block]
    there = example.replace("localhost:9092", kafka.endpoint).replace("flags.json", str(tmp_path / "flags.json"))
    exec(compile(there, DOCUMENTATION, "exec"), {})  # noqa: S102 - it is ours
    assert capsys.readouterr().out.split()[:2] == ["True", "on"]
