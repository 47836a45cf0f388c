"""A broker behind TLS that wants a password: a worker works with it, and whoever is refused is told why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

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


def test_a_worker_that_is_refused_says_so_in_its_health(broker: SecureBroker, tmp_path: Path) -> None:
    settings = broker.settings(broker.secure, password="wrong-wrong-wrong-wrong")  # noqa: S106 - it is none
    servers = str(settings.pop("KAFKA__BOOTSTRAP_SERVERS"))
    with WorkerProcess(servers, state_folder=tmp_path, log_file=tmp_path / "worker.log", **settings) as worker:
        wait_until(lambda: "invalid credentials" in worker.get("/health/dependencies"), "it says so", seconds=60)
        assert worker.status("/health/ready") == 503
