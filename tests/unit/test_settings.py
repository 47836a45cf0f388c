"""Where settings come from, what is refused, and what is never shown."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from schemas.errors import InvalidSettingsError
from schemas.privacy import read_master_key
from schemas.settings_loading import load_settings
from schemas.settings_table import describe_settings
from tests.kit.settings import faults, settle

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse-battery"  # noqa: S105 - what must not show up


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return settle(tmp_path, monkeypatch)


def test_nothing_said_everything_has_a_default() -> None:
    settings = load_settings()
    assert settings.web.port == 8001
    assert settings.kafka_servers == "127.0.0.1:9092"
    assert settings.redis_url == "redis://127.0.0.1:16379/0"
    assert settings.postgres_dsn == "postgresql://intentstream@127.0.0.1:15432/intentstream"


def test_the_environment_stands_above_the_file_and_the_file_above_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "intentstream.toml").write_text("[web]\nport = 1\nhost = '0.0.0.0'\n")
    monkeypatch.setenv("INTENTSTREAM_WEB__PORT", "2")
    web = load_settings().web
    assert (web.port, web.host, web.max_request_bytes) == (2, "0.0.0.0", 65_536)  # noqa: S104 - read, not bound


def test_a_file_may_have_any_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mine.toml").write_text("[worker]\nid = 'worker-7'\n")
    monkeypatch.setenv("INTENTSTREAM_FILE", "mine.toml")
    assert load_settings().worker.id == "worker-7"


def test_an_empty_variable_counts_as_not_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "intentstream.toml").write_text("[web]\nport = 1\n")
    for variable in ("WEB__PORT", "STATE_FOLDER", "REDIS__URL", "FILE"):
        monkeypatch.setenv(f"INTENTSTREAM_{variable}", "")
    settings = load_settings()
    assert (settings.web.port, str(settings.state_folder)) == (1, ".intentstream")
    assert settings.redis.url is None


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("REDIS__URL", f"{SECRET}@cache"),
        ("REDIS__URL", f"http://:{SECRET}@cache/0"),
        ("REDIS__URL", f"redis://:{SECRET}@cache:port/0"),
        ("REDIS__URL", f"redis://:{SECRET}@[cache/0"),
        ("POSTGRES__DSN", f"host=db password={SECRET}"),
        ("POSTGRES__DSN", f"postgresql://u:{SECRET}@db:port/x"),
    ],
)
def test_a_url_that_no_client_could_read_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    monkeypatch.setenv(f"INTENTSTREAM_{variable}", url)
    (fault,) = faults()
    assert f"INTENTSTREAM_{variable} " in fault
    assert fault.endswith("://host:port")
    assert SECRET not in fault


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("REDIS__URL", "rediss://user:word@cache:6380/1"),
        ("REDIS__URL", "unix:///run/redis.sock"),
        ("POSTGRES__DSN", "postgres://u@db"),
        ("POSTGRES__DSN", "postgresql://u@one:5432,two:5433/x"),
        ("POSTGRES__DSN", "postgresql:///x?host=/run/postgresql"),
    ],
)
def test_every_kind_of_url_that_a_client_reads_is_taken(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    monkeypatch.setenv(f"INTENTSTREAM_{variable}", url)
    assert url in {load_settings().redis_url, load_settings().postgres_dsn}


@pytest.fixture
def mounted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of secrets, as an orchestrator mounts it."""
    secrets = folder / "secrets"
    (secrets / "..data").mkdir(parents=True)
    (secrets / "somebody-elses").write_bytes(b"\xff")
    monkeypatch.setenv("INTENTSTREAM_SECRETS", str(secrets))
    return secrets


def test_each_secret_may_come_from_a_file_of_its_own(mounted: Path) -> None:
    for name, secret in {
        "INTENTSTREAM_KAFKA__SASL_PASSWORD": f"{SECRET}-1\n",
        "intentstream_redis__url": f"redis://:{SECRET}-2@cache/0",
        "INTENTSTREAM_POSTGRES__DSN": f"postgresql://u:{SECRET}-3@db/x\r\n",
        "INTENTSTREAM_REMOTE__TOKEN": f"{SECRET}-4\n\n",
        "INTENTSTREAM_ACCESS__TOKENS": f'{{"dora": {{"secret": "{SECRET}-5", "scopes": ["flags:read"]}}}}\n',
    }.items():
        (mounted / name).write_text(secret)
    settings = load_settings()
    password, token = settings.kafka.sasl_password, settings.remote.token
    assert password
    assert token
    assert [password.get_secret_value(), token.get_secret_value()] == [f"{SECRET}-1", f"{SECRET}-4"]
    assert settings.redis_url == f"redis://:{SECRET}-2@cache/0"
    assert settings.postgres_dsn == f"postgresql://u:{SECRET}-3@db/x"
    assert settings.access.tokens["dora"].secret.get_secret_value() == f"{SECRET}-5"
    assert SECRET not in str(settings)


def test_such_a_file_stands_between_the_environment_and_the_file_of_settings(
    folder: Path, mounted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "intentstream.toml").write_text("[web]\nport = 1\nhost = 'toml'\n[worker]\nid = 'toml'\n")
    for name, value in {"WEB__PORT": "2", "WEB__HOST": "mounted", "WORKER__ID": ""}.items():
        (mounted / f"INTENTSTREAM_{name}").write_text(value)
    monkeypatch.setenv("INTENTSTREAM_WEB__PORT", "3")
    settings = load_settings()
    assert (settings.web.port, settings.web.host, settings.worker.id) == (3, "mounted", "toml")


def test_a_folder_of_secrets_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENTSTREAM_SECRETS", "nowhere")
    with pytest.raises(InvalidSettingsError, match="INTENTSTREAM_SECRETS names nowhere, which is no folder"):
        load_settings()


def test_a_secret_that_is_no_setting_or_no_text_is_refused_unseen(mounted: Path) -> None:
    (mounted / "INTENTSTREAM_KAFKA__SASL_PASWORD").write_text(SECRET)
    (fault,) = faults()
    assert "did you mean INTENTSTREAM_KAFKA__SASL_PASSWORD?" in fault
    (mounted / "INTENTSTREAM_KAFKA__SASL_PASSWORD").write_bytes(SECRET.encode() + b"\xff")
    with pytest.raises(InvalidSettingsError, match="SASL_PASSWORD cannot be read") as refused:
        load_settings()
    assert SECRET not in str(refused.value)


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENTSTREAM_FILE", "nowhere.toml")
    with pytest.raises(InvalidSettingsError, match=r"INTENTSTREAM_FILE names nowhere\.toml, which is no file"):
        load_settings()


def test_a_folder_with_the_files_name_is_refused(folder: Path) -> None:
    (folder / "intentstream.toml").mkdir()
    with pytest.raises(InvalidSettingsError, match=r"intentstream\.toml is a folder"):
        load_settings()


@pytest.mark.parametrize("content", [b"port = = 1", b"\xff"])
def test_a_file_that_is_not_toml_is_refused(folder: Path, content: bytes) -> None:
    (folder / "intentstream.toml").write_bytes(content)
    (fault,) = faults()
    assert fault.startswith("  intentstream.toml: ")


@pytest.mark.parametrize(
    ("variable", "suggestion"),
    [
        ("INTENTSTREAM_WEB__PROT", "did you mean INTENTSTREAM_WEB__PORT?"),
        ("INTENTSTREAM_STATE_FOLDR", "did you mean INTENTSTREAM_STATE_FOLDER?"),
        ("intentstream_web__prot", "did you mean INTENTSTREAM_WEB__PORT?"),
        ("INTENTSTREAM_WEB", ""),
        ("INTENTSTREAM_", ""),
    ],
)
def test_an_unknown_variable_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, suggestion: str
) -> None:
    monkeypatch.setenv(variable, "1")
    (fault,) = faults()
    assert fault.startswith(f"  {variable}: there is no such setting; ")
    assert fault.endswith(suggestion)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[web]\nprot = 1", "  web.prot in the file: there is no such setting; did you mean web.port?"),
        ("[wbe]\nport = 1", "  wbe in the file: there is no such setting; `intentstream settings` lists them"),
    ],
)
def test_an_unknown_name_in_the_file_is_refused(folder: Path, content: str, fault: str) -> None:
    (folder / "intentstream.toml").write_text(content)
    assert faults() == [fault]


def test_every_fault_is_said_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "intentstream.toml").write_text("[web]\nport = 'x'\n[logs]\nlevl = 'INFO'\n")
    monkeypatch.setenv("INTENTSTREAM_TOPICS__PARTITIONS", "0")
    monkeypatch.setenv("INTENTSTREAM_TOPICS__PARTITION", "1")
    said = faults()
    assert len(said) == 4
    for words in (
        "INTENTSTREAM_WEB__PORT (web.port in the file): Input should be a valid integer",
        "logs.levl in the file: there is no such setting; did you mean logs.level?",
        "INTENTSTREAM_TOPICS__PARTITIONS (topics.partitions in the file): Input should be greater than or equal to 1",
        "INTENTSTREAM_TOPICS__PARTITION: there is no such setting; did you mean INTENTSTREAM_TOPICS__PARTITIONS?",
    ):
        assert any(words in line for line in said)


def test_secrets_are_used_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENTSTREAM_KAFKA__SASL_PASSWORD", SECRET)
    monkeypatch.setenv("INTENTSTREAM_REDIS__URL", f"redis://:{SECRET}@cache/0")
    monkeypatch.setenv("INTENTSTREAM_POSTGRES__DSN", f"postgresql://u:{SECRET}@db/x")
    settings = load_settings()
    assert SECRET in settings.redis_url
    assert SECRET in settings.postgres_dsn
    for shown in (str(settings), repr(settings), settings.model_dump_json(), str(describe_settings(settings))):
        assert SECRET not in shown
        assert "**********" in shown


def test_a_refusal_shows_no_value(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "intentstream.toml").write_text(f"[kafka.sasl_password]\nvalue = '{SECRET}'\n")
    monkeypatch.setenv("INTENTSTREAM_WEB__PORT", SECRET)
    monkeypatch.setenv("INTENTSTREAM_KAFKA__SASL_PASWORD", SECRET)
    with pytest.raises(InvalidSettingsError) as refused:
        load_settings()
    assert SECRET not in repr(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


@pytest.mark.parametrize("content", [None, b"", b"c2hvcnQ=", b"no base64!" * 5, bytes(32)])
def test_a_master_key_that_is_none_is_refused_unseen(
    content: bytes | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "master.key"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("INTENTSTREAM_PRIVACY__MASTER_KEY_FILE", str(file))
    with pytest.raises(InvalidSettingsError, match=r"PRIVACY__MASTER_KEY_FILE.*32 bytes in Base64") as raised:
        load_settings()
    assert not content or content.decode() not in str(raised.value)


def test_a_master_key_is_taken_as_openssl_writes_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "master.key"
    file.write_bytes(base64.b64encode(b"k" * 32) + b"\n")
    monkeypatch.setenv("INTENTSTREAM_PRIVACY__MASTER_KEY_FILE", str(file))
    assert load_settings().privacy.master_key_file == file
    assert read_master_key(file) == b"k" * 32


def test_the_table_shows_what_is_set_beside_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENTSTREAM_WEB__PORT", "9000")
    rows = {row.name: row for row in describe_settings(load_settings())}
    port = rows["web.port"]
    assert (port.variable, port.default, port.value) == ("INTENTSTREAM_WEB__PORT", "8001", "9000")
    assert port.kind == "whole number, ≥ 0, ≤ 65,535"
    assert rows["kafka.sasl_password"].kind == "secret"
    assert rows["logs.format"].kind == "auto or json or text"


def test_every_setting_says_what_it_means() -> None:
    assert [row.name for row in describe_settings(load_settings()) if not row.description] == []


@pytest.mark.parametrize(
    ("variables", "refused"),
    [
        pytest.param({"KIND": "oip"}, "needs the url", id="no url"),
        pytest.param({"KIND": "oip", "URL": "grpc://127.0.0.1:1"}, "REMOTE__URL", id="another scheme"),
        pytest.param({"KIND": "oip", "URL": "http://planted:planted@127.0.0.1:1"}, "REMOTE__URL", id="a password"),
        pytest.param({"KIND": "oip", "URL": "http://127.0.0.1:1?planted"}, "REMOTE__URL", id="a query"),
        pytest.param(
            {"KIND": "torchserve", "URL": "http://192.0.2.1:1"}, "only name this machine", id="far TorchServe"
        ),
        pytest.param({"MODEL": "../planted"}, "REMOTE__MODEL", id="a model that is a path"),
    ],
)
def test_a_remote_model_that_could_not_be_asked_is_refused(
    variables: dict[str, str], refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"INTENTSTREAM_REMOTE__{name}", value)
    [fault] = faults()
    assert refused in fault
    assert "planted" not in fault


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://[::1]:8080/", "https://localhost/served"])
def test_torchserve_may_be_on_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENTSTREAM_REMOTE__KIND", "torchserve")
    monkeypatch.setenv("INTENTSTREAM_REMOTE__URL", url)
    assert load_settings().remote.url == url.rstrip("/")


@pytest.mark.parametrize(
    ("variables", "refused"),
    [
        pytest.param({"BACKEND": "nli"}, "needs a model", id="no model"),
        pytest.param({"REVISION": "main"}, "ZERO_SHOT__REVISION", id="a branch, which moves"),
        pytest.param({"HYPOTHESIS": "This is it."}, "should have one {}", id="nowhere for a name"),
        pytest.param({"HYPOTHESIS": "{} is {}."}, "should have one {}", id="two places for a name"),
    ],
)
def test_an_nli_model_that_could_not_be_asked_is_refused(
    variables: dict[str, str], refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"INTENTSTREAM_ZERO_SHOT__{name}", value)
    [fault] = faults()
    assert refused in fault
