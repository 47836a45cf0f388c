"""`intentstream flags` against a real broker: what is set is shown, checked, remembered and carried elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from flags.admin import admin_client
from streams.topics import FLAGS, FLAGS_AUDIT
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.command import run_command
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

RULES = '[{"conditions": [{"attribute": "plan", "operator": "equals", "values": ["gold"]}]}]'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        yield server.endpoint


@pytest.fixture
def broker(server: str) -> str:
    """A broker whose flags nobody has changed."""
    admin = admin_client({"bootstrap.servers": server})
    there = [name for name in (FLAGS, FLAGS_AUDIT) if name in admin.list_topics(timeout=20).topics]
    if there:
        for gone in admin.delete_topics(there).values():
            gone.result(20)
        wait_until(lambda: not {FLAGS, FLAGS_AUDIT} & set(admin.list_topics(timeout=20).topics), "they are gone")
    create_our_topics(server, 1)
    return server


def flags(broker: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return run_command("flags", *arguments, stdin=stdin, KAFKA__BOOTSTRAP_SERVERS=broker)


def answer(broker: str, *arguments: str, stdin: bytes = b"") -> Any:
    done = flags(broker, *arguments, "--json", stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_what_is_set_is_shown_checked_and_remembered(broker: str) -> None:
    first = answer(
        broker, "set", "caching", "--off", "--if-match", "0", "--reason", "Redis is being moved", "--by", "ada"
    )
    assert (first["revision"], first["enabled"], first["changed_by"]) == (1, False, "ada")
    listed = {flag["name"]: flag for flag in answer(broker, "list")}
    assert len(listed) == 9
    assert not listed["caching"]["enabled"]
    assert answer(broker, "get", "caching")["reason"] == "Redis is being moved"

    checked = answer(broker, "check", "caching", "--user", "u")
    assert (checked["value"], checked["reason"], checked["origin"], checked["version"]) == (
        False,
        "DISABLED",
        "changelog",
        1,
    )
    answer(broker, "set", "caching", "--on", "--field", f"rules={RULES}", "--percentage", "0")
    assert answer(broker, "check", "caching", "--user", "u", "--attribute", "plan=gold")["value"] is True
    assert answer(broker, "check", "caching", "--user", "u")["value"] is False
    assert answer(broker, "check", "caching", "--at", "0")["origin"] == "default"
    assert answer(broker, "check", "caching", "--at", "1", "--attribute", "plan=gold")["value"] is False

    history = [json.loads(line) for line in flags(broker, "history", "caching", "--json").stdout.splitlines()]
    assert [change["revision"] for change in history] == [1, 2]
    assert set(answer(broker, "diff", "1", "2")["caching"]) == {"enabled", "rollout_percentage", "rules"}
    assert answer(broker, "diff", "2") == {}


def test_what_cannot_be_done_is_refused_with_its_own_exit_code(broker: str) -> None:
    answer(broker, "set", "caching", "--off")
    stale = flags(broker, "set", "caching", "--on", "--if-match", "0")
    assert (stale.returncode, stale.stdout) == (75, b"")
    assert b"caching is at revision 1, and that is not what the change is based on" in stale.stderr
    invalid = flags(broker, "set", "caching", "--percentage", "101", "--field", "colour=1")
    assert invalid.returncode == 65
    assert b"rollout_percentage" in invalid.stderr
    assert b"colour" in invalid.stderr
    assert flags(broker, "set", "no_such_flag", "--on").returncode == 64
    assert flags(broker, "check", "no_such_flag").returncode == 64
    assert flags(broker, "set", "caching").returncode == 2


def test_flags_are_carried_elsewhere_whatever_they_need_of_each_other(broker: str, tmp_path: Path) -> None:
    answer(broker, "set", "zebra", "--create", "--on", "--percentage", "12.5")
    answer(broker, "set", "apple", "--create", "--on", "--field", 'prerequisites=[{"flag": "zebra"}]')
    file = tmp_path / "flags.json"
    assert flags(broker, "export", str(file)).returncode == 0
    answer(broker, "set", "apple", "--delete")
    answer(broker, "set", "zebra", "--delete")
    assert flags(broker, "get", "zebra").returncode == 64

    planned = answer(broker, "import", str(file), "--dry-run")["changed"]
    assert set(planned) == {"apple", "zebra"}
    assert flags(broker, "get", "zebra").returncode == 64
    assert answer(broker, "import", str(file))["changed"] == planned
    assert answer(broker, "get", "zebra")["rollout_percentage"] == 12.5
    assert answer(broker, "import", str(file))["changed"] == {}


def test_both_modes_at_once_are_warned_of(broker: str) -> None:
    answer(broker, "set", "performance_mode", "--on")
    assert b"quality_mode wins" in flags(broker, "set", "quality_mode", "--on").stderr


def test_what_the_environment_says_stands_above(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(broker, "set", "caching", "--on")
    monkeypatch.setenv("FEATURE_FLAG_CACHING_ENABLED", "off")
    checked = answer(broker, "check", "caching")
    assert (checked["value"], checked["origin"]) == (False, "environment")


def test_what_the_environment_says_of_no_flag_is_warned_of(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURE_FLAG_CASHING_ENABLED", "off")
    listed = flags(broker, "list")
    assert listed.returncode == 0
    assert b"there is no flag cashing; did you mean FEATURE_FLAG_CACHING_ENABLED?" in listed.stderr
