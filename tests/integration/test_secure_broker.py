"""A broker behind TLS that wants a password: a worker works with it, and whoever is refused is told why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openfeature.evaluation_context import EvaluationContext

from flags.openfeature import FlagsProvider
from schemas.settings_loading import load_settings
from streams.clients import client_config
from tests.kit.command import run_command
from tests.kit.ledger import Ledger
from tests.kit.load import publish, utterances
from tests.kit.secure_broker import make_authority
from tests.kit.waiting import wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.secure_broker import SecureBroker

COUNT = 200


@pytest.fixture
def broker(secure_kafka: SecureBroker) -> SecureBroker:
    return secure_kafka


def refusal(tmp_path: Path, **settings: Any) -> str:
    """Return what the command line says of a broker that it cannot ask."""
    done = run_command("topics", "apply", STATE_FOLDER=tmp_path, **settings)
    said = done.stderr.decode()
    assert done.returncode in {69, 78}
    assert "Traceback" not in said
    return said


def test_a_worker_answers_over_tls_as_whoever_it_logs_in_as(
    broker: SecureBroker, prepared_models: Path, tmp_path: Path
) -> None:
    settings = broker.settings(broker.secure)
    servers = str(settings.pop("KAFKA__BOOTSTRAP_SERVERS"))
    with WorkerProcess(servers, state_folder=prepared_models, log_file=tmp_path / "worker.log", **settings) as worker:
        worker.wait_until_ready()
        with Ledger(broker.plain) as ledger:
            publish(broker.plain, utterances(COUNT))
            ledger.wait_for_answers(COUNT)
            ledger.account().check(COUNT)
        assert worker.terminate()[0] == 0
    assert str(settings["KAFKA__SASL_PASSWORD"]) not in worker.log


def test_a_wrong_password_is_said_to_be_one(broker: SecureBroker, tmp_path: Path) -> None:
    wrong = "wrong-wrong-wrong-wrong"
    said = refusal(tmp_path, **broker.settings(broker.secure, password=wrong))
    assert "invalid credentials" in said
    assert wrong not in said


def test_a_certificate_that_has_expired_is_not_trusted(broker: SecureBroker, tmp_path: Path) -> None:
    assert "certificate" in refusal(tmp_path, **broker.settings(broker.expired))


def test_nor_is_one_that_somebody_else_has_signed(broker: SecureBroker, tmp_path: Path) -> None:
    other = make_authority(tmp_path)
    assert "certificate" in refusal(tmp_path, **broker.settings(broker.secure, authority=other))


def test_a_file_of_authorities_that_is_none_is_named(broker: SecureBroker, tmp_path: Path) -> None:
    assert "ssl.ca.location" in refusal(tmp_path, **broker.settings(broker.secure, authority=tmp_path / "none.pem"))


def check_health_says(tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    """Start a worker that is refused, and wait until it says why."""
    servers = str(settings.pop("KAFKA__BOOTSTRAP_SERVERS"))
    with WorkerProcess(servers, state_folder=tmp_path, log_file=tmp_path / "worker.log", **settings) as worker:
        wait_until(lambda: reason in worker.get("/health/dependencies"), "it says so", seconds=60)
        assert worker.status("/health/ready") == 503
    assert "planted" not in worker.log


def test_a_worker_that_is_refused_says_so_in_its_health(broker: SecureBroker, tmp_path: Path) -> None:
    wrong = broker.settings(broker.secure, password="wrong-wrong-wrong-wrong")  # noqa: S106 - it is none
    check_health_says(tmp_path, wrong, "invalid credentials")


def test_a_worker_answers_as_whom_its_certificate_names(
    broker: SecureBroker, prepared_models: Path, tmp_path: Path
) -> None:
    settings = broker.settings_with(broker.certificates.ours)
    servers = str(settings.pop("KAFKA__BOOTSTRAP_SERVERS"))
    with WorkerProcess(servers, state_folder=prepared_models, log_file=tmp_path / "worker.log", **settings) as worker:
        worker.wait_until_ready()
        with Ledger(broker.plain) as ledger:
            publish(broker.plain, utterances(COUNT))
            ledger.wait_for_answers(COUNT)
            ledger.account().check(COUNT)
        assert worker.terminate()[0] == 0
    assert "planted" not in worker.log


@pytest.mark.parametrize("who", ["nobody", "a stranger"])
def test_whoever_shows_no_certificate_or_a_strangers_is_told_so(broker: SecureBroker, tmp_path: Path, who: str) -> None:
    settings = broker.settings_with(None if who == "nobody" else broker.certificates.strangers)
    reason = "certificate"  # as a TLS alert of Java has it: bad, or unknown
    assert reason in refusal(tmp_path, **settings)
    check_health_says(tmp_path, settings, reason)


def test_flags_are_changed_and_read_with_a_certificate(
    broker: SecureBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = broker.settings_with(broker.certificates.ours) | {"STATE_FOLDER": tmp_path}
    assert b"answers and is new enough" in run_command("doctor", **settings).stdout
    done = run_command("flags", "set", "caching", "--off", "--reason", "a test", **settings)
    assert (done.returncode, done.stderr) == (0, b"")
    for name, value in settings.items():
        monkeypatch.setenv(f"INTENTSTREAM_{name}", str(value))
    provider = FlagsProvider.connect(
        broker.mutual, last_known=tmp_path / "flags.json", client=client_config(load_settings())
    )
    try:
        provider.initialize(EvaluationContext("ada"))
        assert provider.resolve_boolean_details("caching", default_value=True).value is False
    finally:
        provider.shutdown()
