"""What flags are before anyone changes one, and what the environment may say about them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from flags.compiling import Origin
from flags.definitions import DEFINITIONS
from flags.environment import read_overrides
from flags.evaluation import Context, Snapshot
from schemas.errors import InvalidSettingsError, UnknownFlagError
from schemas.events import FlagChange, Variant


def test_nothing_said_the_flags_are_their_defaults() -> None:
    assert Snapshot().states == {
        "adaptive_routing": True,
        "ab_testing": True,
        "distilbert_model": False,
        "zero_shot_fallback": True,
        "caching": True,
        "feedback_learning": True,
        "performance_mode": False,
        "quality_mode": False,
        "enhanced_logging": False,
    }


def test_every_flag_has_someone_to_ask() -> None:
    assert all(flag.owner and flag.description for flag in DEFINITIONS)


@pytest.mark.parametrize("word", ["true", "1", "YES", " on "])
def test_the_environment_can_switch_on(word: str) -> None:
    snapshot = Snapshot(read_overrides({"FEATURE_FLAG_QUALITY_MODE_ENABLED": word, "PATH": "/bin"}))
    assert snapshot.enabled("quality_mode", user_id="u")


@pytest.mark.parametrize("word", ["false", "0", "No", "off"])
def test_the_environment_can_switch_off(word: str) -> None:
    assert not Snapshot(read_overrides({"FEATURE_FLAG_CACHING_ENABLED": word})).enabled("caching")


def test_everything_wrong_in_the_environment_is_said_at_once() -> None:
    with pytest.raises(InvalidSettingsError) as refused:
        read_overrides(
            {"FEATURE_FLAG_CACHING_ENABLED": "maybe", "FEATURE_FLAG_9_LIVES_ENABLED": "on", "FEATURE_FLAG_CACHING": "1"}
        )
    assert "FEATURE_FLAG_CACHING_ENABLED: say one of true, 1" in str(refused.value)
    assert "FEATURE_FLAG_9_LIVES_ENABLED: it can be no flag's" in str(refused.value)
    assert "FEATURE_FLAG_CACHING: it can be no flag's" in str(refused.value)


def test_a_flag_that_was_added_can_be_switched_by_the_environment_too() -> None:
    overrides = read_overrides({"FEATURE_FLAG_BETA_ENABLED": "on", "FEATURE_FLAG_COLOURS_ENABLED": "off"})
    colours = (Variant(name="red", value="#f00", weight=0), Variant(name="blue", value="#00f", weight=100))
    beta, coloured = _added("beta", enabled=False), _added("colours", variants=colours, off_variant="red")
    snapshot = Snapshot(overrides, changes={each.name: each for each in (beta, coloured)})
    assert snapshot.enabled("beta")
    answer = snapshot.evaluate("colours", Context(user_id="u"))
    assert (answer.value, answer.origin) == ("#f00", Origin.ENVIRONMENT)
    on = Snapshot({"colours": True}, changes={"colours": msgspec.structs.replace(coloured, killed=True)})
    assert on.evaluate("colours", Context(user_id="u")).value == "#00f"
    assert snapshot.warnings == ()


def test_what_the_environment_says_of_no_flag_is_warned_of_until_there_is_one() -> None:
    overrides = {"cashing": True, "beta": True, "staff": True}
    staff = _added("staff", kind="segment", enabled=False)
    snapshot = Snapshot(overrides, changes={"staff": staff})
    cashing, beta, segment = snapshot.warnings
    assert "FEATURE_FLAG_CASHING_ENABLED is set, and there is no flag cashing; did you mean" in cashing
    assert cashing.endswith("FEATURE_FLAG_CACHING_ENABLED?")
    assert "no flag beta; it counts as soon as there is one" in beta
    assert "no flag staff" in segment
    assert "beta" not in snapshot.names
    assert Snapshot(overrides, changes={"beta": _added("beta"), "staff": staff}).enabled("beta")


def _added(name: str, **fields: Any) -> FlagChange:
    state: dict[str, Any] = {"name": name, "enabled": True, "revision": 1, "changed_by": "ada", "changed_at": "-"}
    return FlagChange(**(state | fields))


def test_a_flag_that_does_not_exist_is_an_error_that_lists_those_that_do() -> None:
    with pytest.raises(UnknownFlagError, match=r"'cashing'; there are adaptive_routing, .*enhanced_logging"):
        Snapshot().enabled("cashing")


def test_a_snapshot_cannot_be_changed() -> None:
    snapshot = Snapshot()
    with pytest.raises(TypeError):
        snapshot.states["caching"] = False  # type: ignore[index]  # which is the point
