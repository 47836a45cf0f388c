"""What the command line promises whatever the command: exit codes, sentences, JSON and nothing beside it."""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click
import pytest

from infra.cli.main import SUMMARIES, cli, run
from infra.embedded.ports import free_port
from schemas.errors import InvalidCatalogueError, UnavailableError
from tests.kit.command import COMMAND, command_environment, run_command

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = f"127.0.0.1:{free_port()}"


def raise_in_a_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Run a command that raises, and return the exit code."""

    @click.command
    def command() -> None:
        raise error

    monkeypatch.setattr(cli, "get_command", lambda _context, _name: command)
    return run(["some-command"])


def test_help_imports_no_command() -> None:
    script = (
        "import sys; from infra.cli.main import run; run(['--help']); "
        "print([name for name in ('pydantic', 'confluent_kafka', 'numpy', 'infra.cli.up') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_commands_own_help_begins_with_its_summary(name: str) -> None:
    help_text = import_module(f"infra.cli.{name}").command.help
    assert help_text.splitlines()[0] == SUMMARIES[name]


@pytest.mark.parametrize(
    ("error", "code"), [(UnavailableError("It is away."), 69), (InvalidCatalogueError("Bad."), 65)]
)
def test_an_error_of_ours_is_its_sentence_and_its_exit_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raise_in_a_command(monkeypatch, error) == code
    assert capsys.readouterr() == ("", f"{error}\n")


def test_ctrl_c_is_130_without_a_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert raise_in_a_command(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")


def test_a_bug_is_one_sentence_and_its_message_is_kept_to_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raise_in_a_command(monkeypatch, KeyError("what a user said")) == 70
    said = capsys.readouterr().err
    assert "KeyError" in said
    assert "INTENTSTREAM_LOGS__LEVEL=DEBUG" in said
    assert "what a user said" not in said


def test_what_the_operating_system_refuses_is_one_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/state/models")
    assert raise_in_a_command(monkeypatch, full) == 74
    assert capsys.readouterr().err == (
        "No space left on device: /state/models; make room there, or set INTENTSTREAM_STATE_FOLDER.\n"
    )


@pytest.mark.parametrize("name", ["worker", "up", "prepare", "classify hello"])
def test_a_state_folder_that_is_none_is_one_sentence(tmp_path: Path, name: str) -> None:
    file = tmp_path / "state"
    file.touch()
    ended = run_command(*name.split(), STATE_FOLDER=file, WEB__PORT=free_port(), LOGS__LEVEL="ERROR")
    assert ended.returncode == 74
    (sentence,) = ended.stderr.decode().splitlines()
    assert str(file) in sentence
    assert "INTENTSTREAM_STATE_FOLDER" in sentence


def test_a_worker_that_cannot_listen_ends_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_command("worker", WEB__PORT=port, KAFKA__BOOTSTRAP_SERVERS=NOWHERE, LOGS__LEVEL="ERROR")
    assert ended.returncode == 69
    *_, sentence = ended.stderr.decode().splitlines()  # before it, that the broker is not there
    assert f"Port {port} on 127.0.0.1 is in use" in sentence


def test_a_bug_shows_its_trace_to_who_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INTENTSTREAM_LOGS__LEVEL", "DEBUG")
    assert raise_in_a_command(monkeypatch, KeyError("x")) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_fault() -> None:
    listing = subprocess.Popen(
        [*COMMAND, "settings"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=command_environment({}),
    )
    assert listing.stdout
    assert listing.stderr
    listing.stdout.close()
    assert listing.stderr.read() == b""
    listing.stderr.close()
    assert listing.wait() == 141


def test_a_mistyped_command_is_a_usage_error() -> None:
    ended = run_command("prodcue")
    assert ended.returncode == 2
    assert b"No such command" in ended.stderr


def test_an_unknown_setting_is_refused_by_every_command_that_uses_settings() -> None:
    ended = run_command("topics", "list", NO_SUCH_THING=1)
    assert ended.returncode == 78
    assert b"INTENTSTREAM_NO_SUCH_THING" in ended.stderr


@pytest.mark.parametrize("arguments", [("settings",), ("topics", "list"), ("catalogue", "list")], ids=" ".join)
def test_json_stands_alone_on_standard_output(arguments: tuple[str, ...]) -> None:
    ended = run_command(*arguments, "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout)


def test_secrets_are_not_shown() -> None:
    secret = "hunter2"  # noqa: S105 - nobody's
    ended = run_command("settings", "--json", KAFKA__SASL_PASSWORD=secret)
    rows = {row["name"]: row for row in json.loads(ended.stdout)}
    assert secret.encode() not in ended.stdout
    assert rows["kafka.sasl_password"]["set_by"] == "environment"


def test_a_setting_from_a_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "our.toml"
    file.write_text("[web]\nport = 1234\n")
    rows = {row["name"]: row for row in json.loads(run_command("settings", "--json", FILE=file).stdout)}
    assert (rows["web.port"]["value"], rows["web.port"]["set_by"]) == ("1234", str(file))
    assert rows["web.host"]["set_by"] == "default"


def test_a_closed_standard_input_is_a_sentence() -> None:
    shell = ("/bin/sh", "-c", f"exec {shlex.join(COMMAND)} produce <&-")
    ended = subprocess.run(shell, capture_output=True, check=False, env=command_environment({}))
    assert ended.returncode == 2
    assert b"standard input is closed; name a file." in ended.stderr


@pytest.mark.parametrize(
    "arguments", [("produce", "--timeout", "1"), ("tail", "results"), ("deadletter", "list")], ids=" ".join
)
def test_a_broker_that_is_away_is_one_sentence_within_a_bounded_time(arguments: tuple[str, ...]) -> None:
    ended = run_command(*arguments, stdin=b"hello\n", KAFKA__BOOTSTRAP_SERVERS=NOWHERE)
    assert ended.returncode == 69
    assert ended.stdout == b""
    assert len(ended.stderr.splitlines()) == 1


def test_a_sound_catalogue_is_exit_code_0_and_a_faulty_one_65_with_its_lines(tmp_path: Path) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text("name: x\nintents:\n  - name: only\n    examples: [one]\n  - nmae: b\n")
    ended = run_command("catalogue", "check", str(faulty))
    assert ended.returncode == 65
    assert f"{faulty}:5: error: ".encode() in ended.stdout
    report = json.loads(run_command("catalogue", "check", str(faulty), "--json").stdout)
    assert report["errors"] == sum(finding["severity"] == "error" for finding in report["findings"]) > 0


def test_the_doctor_finds_no_fault_where_only_what_up_starts_is_missing(tmp_path: Path) -> None:
    ended = run_command(
        "doctor",
        "--json",
        STATE_FOLDER=tmp_path / "state",
        WEB__PORT=free_port(),
        EMBEDDED__KAFKA_PORT=free_port(),
        EMBEDDED__REDIS_PORT=free_port(),
        EMBEDDED__POSTGRES_PORT=free_port(),
    )
    findings = {finding["check"]: finding for finding in json.loads(ended.stdout)["findings"]}
    assert ended.returncode == 0, findings
    assert findings["broker"]["verdict"] == findings["models"]["verdict"] == "warning"
    assert "intentstream up" in findings["broker"]["said"]
    assert not (tmp_path / "state").exists()


def test_the_doctor_calls_a_named_broker_that_is_away_a_fault(tmp_path: Path) -> None:
    ended = run_command("doctor", "--json", STATE_FOLDER=tmp_path, KAFKA__BOOTSTRAP_SERVERS=NOWHERE)
    findings = {finding["check"]: finding for finding in json.loads(ended.stdout)["findings"]}
    assert ended.returncode == 1
    assert findings["broker"]["verdict"] == "fault"
    assert NOWHERE in findings["broker"]["said"]


def test_the_doctor_calls_settings_that_cannot_be_used_a_fault() -> None:
    ended = run_command("doctor", "--json", WEB__PORT="many")
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["findings"][0]["check"] == "settings"
