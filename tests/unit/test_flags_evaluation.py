"""What flags are before anyone changes one, and what the environment may say about them."""

from __future__ import annotations

import pytest

from flags.definitions import DEFINITIONS
from flags.environment import read_overrides
from flags.evaluation import Snapshot
from schemas.errors import InvalidSettingsError, UnknownFlagError


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
            {"FEATURE_FLAG_CACHING_ENABLED": "maybe", "FEATURE_FLAG_CASHING_ENABLED": "on", "FEATURE_FLAG_CACHING": "1"}
        )
    assert "FEATURE_FLAG_CACHING_ENABLED: say one of true, 1" in str(refused.value)
    assert "FEATURE_FLAG_CASHING_ENABLED: there is no such flag" in str(refused.value)
    assert "FEATURE_FLAG_CACHING: there is no such flag" in str(refused.value)


def test_a_flag_that_does_not_exist_is_an_error_that_lists_those_that_do() -> None:
    with pytest.raises(UnknownFlagError, match=r"'cashing'; there are adaptive_routing, .*enhanced_logging"):
        Snapshot().enabled("cashing")
    with pytest.raises(UnknownFlagError, match="'cashing'"):
        Snapshot({"cashing": True})


def test_a_snapshot_cannot_be_changed() -> None:
    snapshot = Snapshot()
    with pytest.raises(TypeError):
        snapshot.states["caching"] = False  # type: ignore[index]  # which is the point
