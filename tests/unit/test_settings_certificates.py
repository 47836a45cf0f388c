"""Certificates that we show to Kafka, Redis and Postgres: which are taken, and which could never be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from schemas.settings_loading import load_settings
from streams.clients import client_config
from tests.kit.client_certificates import client_certificates
from tests.kit.settings import faults, settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kit.client_certificates import ClientCertificates


SERVERS = {
    "KAFKA": {"BOOTSTRAP_SERVERS": "kafka:9093", "SECURITY_PROTOCOL": "SSL"},
    "REDIS": {"URL": "rediss://cache:6380/0"},
    "POSTGRES": {"DSN": "postgresql://u@db/x"},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return settle(tmp_path, monkeypatch)


@pytest.fixture
def certificates(folder: Path) -> ClientCertificates:
    return client_certificates(folder / "clients")


@pytest.fixture(params=SERVERS)
def section(request: pytest.FixtureRequest, certificates: ClientCertificates, monkeypatch: pytest.MonkeyPatch) -> str:
    """A server that is named, with whom to trust."""
    name = str(request.param)
    for setting, value in (SERVERS[name] | {"SSL_CA_LOCATION": str(certificates.authority)}).items():
        monkeypatch.setenv(f"INTENTSTREAM_{name}__{setting}", value)
    return name


@pytest.fixture
def show(section: str, certificates: ClientCertificates, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set our certificate for it, but for what is changed."""

    def show(**changed: object) -> None:
        wanted = certificates.ours.settings(section) | {f"{section}__{name}": value for name, value in changed.items()}
        for name, value in wanted.items():
            monkeypatch.setenv(f"INTENTSTREAM_{name}", str(value))

    return show


def test_a_certificate_of_ours_with_its_key_and_its_password_is_taken(show: Callable[..., None]) -> None:
    show()
    settings = load_settings()
    assert "planted" not in str(settings) + repr(settings) + settings.model_dump_json()


def test_a_file_may_hold_a_certificate_and_its_key(
    show: Callable[..., None], section: str, certificates: ClientCertificates, folder: Path
) -> None:
    both = folder / "both.pem"
    both.write_bytes(certificates.ours.chain.read_bytes() + certificates.ours.key.read_bytes())
    show(SSL_CERTIFICATE_LOCATION=both, SSL_KEY_LOCATION="")
    settings = load_settings()
    keys = {
        "KAFKA": client_config(settings).get("ssl.key.location"),
        "REDIS": dict(parse_qsl(urlsplit(settings.redis_url).query)).get("ssl_keyfile"),
        "POSTGRES": dict(parse_qsl(urlsplit(settings.postgres_dsn).query)).get("sslkey"),
    }
    assert keys[section] == str(both)


@pytest.mark.parametrize("password", ["", "wrong-planted"])
def test_a_key_whose_password_is_missing_or_wrong_is_refused_unseen(show: Callable[..., None], password: str) -> None:
    show(SSL_KEY_PASSWORD=password)
    (fault,) = faults()
    assert "ssl_key_password" in fault
    assert "planted" not in fault


def test_a_key_that_is_anothers_is_refused(show: Callable[..., None], certificates: ClientCertificates) -> None:
    show(SSL_KEY_LOCATION=certificates.strangers.key)
    assert "a certificate and its key" in faults()[0]


def test_a_certificate_that_is_not_there_is_named(show: Callable[..., None], folder: Path) -> None:
    show(SSL_CERTIFICATE_LOCATION=folder / "nowhere.pem")
    assert "nowhere.pem is no file that can be read" in faults()[0]


def test_a_key_without_a_certificate_is_a_mistake(show: Callable[..., None]) -> None:
    show(SSL_CERTIFICATE_LOCATION="")
    assert "set ssl_certificate_location" in faults()[0]


@pytest.mark.parametrize(
    ("section", "plain"),
    [
        ("KAFKA", {"SECURITY_PROTOCOL": "PLAINTEXT"}),
        ("REDIS", {"URL": "redis://cache/0"}),
        ("POSTGRES", {"SSL_CA_LOCATION": ""}),
    ],
    indirect=["section"],
)
def test_a_certificate_is_shown_to_nobody_whose_own_is_not_asked_for(
    show: Callable[..., None], plain: dict[str, str]
) -> None:
    show(**plain)
    assert "ertificate" in faults()[0]
