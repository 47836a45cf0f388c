"""A broker that talks over TLS, and asks to whom and what they may: one certificate is good, another has expired.

At one of its doors a client need not log in, for it must show a certificate.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka.admin import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from flags.admin import admin_client
from infra.embedded.kafka import KafkaProgram
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.server import EmbeddedServer
from tests.kit.brokers import JARS
from tests.kit.client_certificates import client_certificates

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from infra.embedded.process import Launch
    from infra.embedded.server import Say
    from tests.kit.client_certificates import Certificate, ClientCertificates

USER, PASSWORD = "worker", "worker-worker-worker"
OTHERS = ("shop", "warehouse", "desk", "switch", "chief")
"""Who else there is, each with the same password."""
_STORE_PASSWORD = "changeit"  # noqa: S105 - likewise


class SecureBroker(NamedTuple):
    """Where it listens."""

    plain: str
    """Without TLS, for the test itself."""
    secure: str
    """SASL_SSL, with a certificate of `authority`."""
    expired: str
    """Likewise, with one that is no longer valid."""
    mutual: str
    """SSL, with a certificate of `authority`, for whom `certificates` is good."""
    authority: Path
    """PEM file of who signed all of them."""
    certificates: ClientCertificates

    def settings(
        self, servers: str, *, user: str = USER, password: str = PASSWORD, authority: Path | None = None
    ) -> dict[str, Any]:
        """Return a worker's settings for talking to it, by their names without the prefix."""
        return {
            "KAFKA__BOOTSTRAP_SERVERS": servers,
            "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA__SASL_USERNAME": user,
            "KAFKA__SASL_PASSWORD": password,
            "KAFKA__SSL_CA_LOCATION": authority or self.authority,
        }

    def settings_with(self, certificate: Certificate | None) -> dict[str, Any]:
        """Return a worker's settings for talking to it with a certificate, by their names without the prefix."""
        return {
            "KAFKA__BOOTSTRAP_SERVERS": self.mutual,
            "KAFKA__SECURITY_PROTOCOL": "SSL",
            "KAFKA__SSL_CA_LOCATION": self.authority,
        } | (certificate.settings("KAFKA") if certificate else {})


class _Program(KafkaProgram):
    """The embedded broker, with three listeners more."""

    secure_port: int
    expired_port: int
    mutual_port: int
    trusted: Path

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:
        launch = super().prepare(folder, port, say=say, cancelled=cancelled)
        properties = folder / "server.properties"
        lines = dict(line.split("=", 1) for line in properties.read_text().splitlines())
        lines["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        lines["super.users"] = "User:ANONYMOUS"  # whoever comes without TLS: the test itself, and the broker
        lines["sasl.enabled.mechanisms"] = "SCRAM-SHA-512"
        for name, listener_port, protocol, store in (
            ("SECURE", self.secure_port, "SASL_SSL", "secure"),
            ("EXPIRED", self.expired_port, "SASL_SSL", "expired"),
            ("MUTUAL", self.mutual_port, "SSL", "secure"),
        ):
            lines["listeners"] += f",{name}://{LOOPBACK}:{listener_port}"
            lines["listener.security.protocol.map"] += f",{name}:{protocol}"
            prefix = f"listener.name.{name.lower()}"
            lines[f"{prefix}.ssl.keystore.type"] = "PKCS12"
            lines[f"{prefix}.ssl.keystore.location"] = str(folder / f"{store}.p12")
            lines[f"{prefix}.ssl.keystore.password"] = _STORE_PASSWORD
            lines[f"{prefix}.scram-sha-512.sasl.jaas.config"] = (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            )
        lines["listener.name.mutual.ssl.client.auth"] = "required"
        lines["listener.name.mutual.ssl.truststore.type"] = "PEM"
        lines["listener.name.mutual.ssl.truststore.location"] = str(self.trusted)
        lines["ssl.principal.mapping.rules"] = "RULE:^.*CN=([a-z]+).*$/$1/"  # else, all of the subject is the principal
        properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        return launch


@contextmanager
def secure_broker(folder: Path) -> Iterator[SecureBroker]:
    """Run one."""
    folder.mkdir(parents=True, exist_ok=True)
    make_authority(folder)
    _sign(folder, "secure")
    _sign(folder, "expired", "-startdate", "-10d", "-validity", "1")
    certificates = client_certificates(folder / "clients")
    program = _Program(jars=JARS)
    for name in ("secure_port", "expired_port", "mutual_port"):
        object.__setattr__(program, name, free_port())
    object.__setattr__(program, "trusted", certificates.authority)
    server = EmbeddedServer(program, folder=folder, port=free_port())
    try:
        server.start()
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        wanted: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, credential, PASSWORD.encode()) for user in (USER, *OTHERS)
        ]
        for done in admin_client({"bootstrap.servers": server.endpoint}).alter_user_scram_credentials(wanted).values():
            done.result(20)
        yield SecureBroker(
            plain=server.endpoint,
            secure=f"{LOOPBACK}:{program.secure_port}",
            expired=f"{LOOPBACK}:{program.expired_port}",
            mutual=f"{LOOPBACK}:{program.mutual_port}",
            authority=folder / "authority.pem",
            certificates=certificates,
        )
    finally:
        server.stop()


def make_authority(folder: Path) -> Path:
    """Make somebody who signs certificates; return the PEM file of theirs."""
    _keytool(folder, "authority", "-genkeypair", "-alias", "ca", "-dname", "CN=test authority", "-ext", "bc:c")
    pem = folder / "authority.pem"
    _keytool(folder, "authority", "-exportcert", "-rfc", "-alias", "ca", "-file", str(pem))
    return pem


def _sign(folder: Path, name: str, *validity: str) -> None:
    """Make a key, and have the authority of the folder sign its certificate for this machine."""
    request, signed = folder / f"{name}.csr", folder / f"{name}.pem"
    _keytool(folder, name, "-genkeypair", "-alias", "server", "-dname", "CN=localhost")
    _keytool(folder, name, "-certreq", "-alias", "server", "-file", str(request))
    for_us = ["-ext", f"SAN=ip:{LOOPBACK},dns:localhost", *validity]
    _keytool(
        folder,
        "authority",
        "-gencert",
        "-rfc",
        "-alias",
        "ca",
        *for_us,
        "-infile",
        str(request),
        "-outfile",
        str(signed),
    )
    authority = str(folder / "authority.pem")
    _keytool(folder, name, "-importcert", "-noprompt", "-alias", "ca", "-file", authority)
    _keytool(folder, name, "-importcert", "-noprompt", "-alias", "server", "-file", str(signed))


def _keytool(folder: Path, store: str, command: str, *arguments: str) -> None:
    program = shutil.which("keytool")
    assert program, "keytool comes with Java"
    of_key = ["-keyalg", "EC"] if command == "-genkeypair" else []
    subprocess.run(
        [
            program,
            command,
            *of_key,
            *arguments,
            "-keystore",
            str(folder / f"{store}.p12"),
            "-storetype",
            "PKCS12",
            "-storepass",
            _STORE_PASSWORD,
        ],
        check=True,
        capture_output=True,
        timeout=180,
    )
