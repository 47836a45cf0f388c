"""A worker whose Redis and Postgres are behind TLS: it works with them, and without them where they are not trusted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.kit.ledger import Ledger
from tests.kit.load import publish, utterances
from tests.kit.secure_servers import PASSWORD
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker
    from tests.kit.secure_servers import SecureServers

COUNT = 50
WRONG = "planted-password-that-is-wrong"


def test_a_worker_remembers_in_both_over_tls(
    broker: EmbeddedServer, new_worker: NewWorker, secure: SecureServers
) -> None:
    worker = new_worker(**secure.settings())
    with Ledger(broker.endpoint) as ledger:
        worker.wait_until_ready()
        publish(broker.endpoint, utterances(COUNT))
        ledger.wait_for_answers(COUNT)
        ledger.account().check(COUNT)
        wait_until(lambda: worker.status("/api/v1/results?limit=1") == 200, "Postgres is asked for results")
        wait_until(lambda: said_of(worker.get("/health/dependencies")) == {}, "both are well")
        assert worker.terminate()[0] == 0
    assert PASSWORD not in worker.log


def test_a_worker_goes_on_without_those_it_does_not_trust_or_that_do_not_trust_it(
    broker: EmbeddedServer, new_worker: NewWorker, secure: SecureServers
) -> None:
    settings = secure.settings(REDIS__URL=secure.expired_redis, POSTGRES__DSN=secure.postgres.replace(PASSWORD, WRONG))
    worker = new_worker(**settings)
    with Ledger(broker.endpoint) as ledger:
        worker.wait_until_ready()
        publish(broker.endpoint, utterances(COUNT))
        ledger.wait_for_answers(COUNT)
        ledger.account().check(COUNT)
        wait_until(
            lambda: {"redis", "postgres"} <= said_of(worker.get("/health/dependencies")).keys(),
            "it says so",
            seconds=60,
        )
        said = said_of(worker.get("/health/dependencies"))
        assert "certificate has expired" in said["redis"]
        assert "authentication failed" in said["postgres"]
        assert worker.status("/health") == worker.status("/health/ready") == 200
        assert worker.terminate()[0] == 0
    assert "certificate has expired" in worker.log
    assert "Traceback" not in worker.log
    assert "planted" not in worker.log


def said_of(health: str) -> dict[str, str]:
    """Return why a dependency is not well, by name."""
    checks = json.loads(health).get("checks", {}) if health else {}
    return {
        name.partition(":")[0]: check.get("output", "")
        for name, (check, *_) in checks.items()
        if check["status"] != "pass"
    }
