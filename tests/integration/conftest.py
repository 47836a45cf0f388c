"""A broker behind TLS that asks who comes and what they may, for the tests of either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flags.admin import admin_client
from schemas.server_settings import Acls
from schemas.settings import Settings
from streams.acls import apply_acls
from tests.kit.brokers import create_our_topics
from tests.kit.secure_broker import secure_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.acls import Grant
    from tests.kit.secure_broker import SecureBroker

PARTITIONS = 2
ROLES = {
    "workers": ["User:worker"],
    "producers": ["User:shop"],
    "consumers": ["User:warehouse"],
    "correctors": ["User:desk"],
    "flag_writers": ["User:switch"],
    "admins": ["User:chief"],
}


@pytest.fixture(scope="session")
def bare_secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """One that has our topics, where nobody may do anything yet."""
    with secure_broker(tmp_path_factory.mktemp("secure") / "kafka") as broker:
        create_our_topics(broker.plain, PARTITIONS)
        yield broker


@pytest.fixture(scope="session")
def grants(bare_secure_kafka: SecureBroker) -> dict[str, list[Grant]]:
    """What is said of giving everybody the rights of their role: before, when it is done, and afterwards."""
    admin = admin_client({"bootstrap.servers": bare_secure_kafka.plain})

    def settings(**roles: list[str]) -> Settings:
        return Settings(acls=Acls.model_validate(ROLES | roles))

    return {
        "dry": apply_acls(admin, settings(), dry_run=True),
        "given": apply_acls(admin, settings()),
        "again": apply_acls(admin, settings()),
        "as somebody less": apply_acls(admin, settings(admins=[], correctors=["User:chief"]), dry_run=True),
    }


@pytest.fixture(scope="session")
def secure_kafka(bare_secure_kafka: SecureBroker, grants: dict[str, list[Grant]]) -> SecureBroker:
    """One where everybody has the rights of their role."""
    assert grants["given"]
    return bare_secure_kafka
