"""A Redis and a Postgres that speak TLS alone and want a password: Debian's, for the embedded ones know no TLS.

There are two more of each, one whose certificate has expired and one that wants a certificate of its clients as well.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import trustme

from infra.embedded import ports
from infra.embedded.postgres import ROLE, server_user
from infra.embedded.process import Child, Launch
from infra.embedded.server import EmbeddedServer
from tests.kit.client_certificates import client_certificates

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from infra.embedded.server import Program, Say
    from tests.kit.client_certificates import Certificate, ClientCertificates

DEBIAN = Path(__file__).parents[2] / ".intentstream" / "debian"
PASSWORD = "planted-password-of-the-server"  # noqa: S105 - of a server of the tests
_INITDB_SECONDS = 60.0


class SecureServers(NamedTuple):
    """Where they are, and whom to trust."""

    redis: str
    """A URL of a Redis whose certificate `authority` has signed."""
    postgres: str
    """A DSN, likewise."""
    expired_redis: str
    """One whose certificate is no longer valid."""
    expired_postgres: str
    mutual_redis: str
    """One that takes nobody without a certificate, for whom `certificates` is good."""
    mutual_postgres: str
    certificates: ClientCertificates
    authority: Path
    """PEM file of who signed all of theirs."""
    stranger: Path
    """PEM file of somebody who signed none."""

    def settings_with(self, certificate: Certificate | None) -> dict[str, Any]:
        """Return a worker's settings for talking, with a certificate, to those that want one."""
        shown = certificate.settings("REDIS") | certificate.settings("POSTGRES") if certificate else {}
        return self.settings(REDIS__URL=self.mutual_redis, POSTGRES__DSN=self.mutual_postgres, **shown)

    def settings(self, **changed: object) -> dict[str, Any]:
        """Return a worker's settings for talking to them, by their names without the prefix."""
        return {
            "REDIS__URL": self.redis,
            "REDIS__SSL_CA_LOCATION": self.authority,
            "POSTGRES__DSN": self.postgres,
            "POSTGRES__SSL_CA_LOCATION": self.authority,
            "CACHE__REDIS_TIMEOUT_SECONDS": 2,  # a shake of hands takes long on a busy machine
        } | changed


@dataclass(frozen=True, kw_only=True)
class SecureRedis:
    """How to run Redis: with TLS and a password, and in no other way."""

    certificate: trustme.LeafCert
    trusted: Path | None = None
    """PEM file of who must have signed a client's certificate; None: clients show none."""
    name: str = "redis"
    port_setting: str = ""

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:  # noqa: ARG002
        chain, key = _write(self.certificate, folder)
        libraries = ":".join(str(path.parent) for path in DEBIAN.glob("usr/lib/*/libjemalloc.so.2"))
        command = [str(DEBIAN / "usr/bin/redis-server"), "--bind", ports.LOOPBACK, "--port", "0", "--save", ""]
        wanted = "yes" if self.trusted else "no"
        command += ["--tls-port", str(port), "--tls-auth-clients", wanted, "--requirepass", PASSWORD]
        command += ["--tls-cert-file", str(chain), "--tls-key-file", str(key)]
        command += ["--tls-ca-cert-file", str(self.trusted or chain)]
        return Launch(command=command, environment={"LD_LIBRARY_PATH": libraries})

    def answers(self, port: int) -> bool:
        return ports.answers(port)

    def endpoint(self, port: int) -> str:
        return f"rediss://:{PASSWORD}@{ports.LOOPBACK}:{port}/0"


@dataclass(frozen=True, kw_only=True)
class SecurePostgres:
    """How to run Postgres: with TLS and SCRAM, and in no other way."""

    certificate: trustme.LeafCert
    data: Path
    trusted: Path | None = None
    """As of the other."""
    name: str = "postgres"
    port_setting: str = ""

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:  # noqa: ARG002
        initdb, postgres = (next(DEBIAN.glob(f"usr/lib/postgresql/*/bin/{name}")) for name in ("initdb", "postgres"))
        password, log_file = folder / "password", folder / "initdb.log"
        folder.chmod(0o777)
        password.write_text(PASSWORD)
        password.chmod(0o644)
        command = [
            str(initdb),
            "--no-sync",
            "-D",
            str(self.data),
            "-U",
            ROLE,
            "--pwfile",
            str(password),
            "--auth=scram-sha-256",
        ]
        maker = Child(Launch(command=command, user=server_user()), folder=folder, log_file=log_file)
        try:
            assert maker.wait(_INITDB_SECONDS, cancelled) == 0, log_file.read_text()
        finally:
            maker.kill()
        wanted = " clientcert=verify-ca" if self.trusted else ""
        (self.data / "pg_hba.conf").write_text(f"hostssl all all {ports.LOOPBACK}/32 scram-sha-256{wanted}\n")
        chain, key = _write(self.certificate, self.data, owner=server_user())
        command = [str(postgres), "-D", str(self.data), "-p", str(port), "-h", ports.LOOPBACK, "-k", "", "-c", "ssl=on"]
        command += ["-c", f"ssl_cert_file={chain}", "-c", f"ssl_key_file={key}", "-c", "fsync=off"]
        if self.trusted:
            authority = self.data / "clients.pem"
            authority.write_bytes(self.trusted.read_bytes())  # to where the server's user can read it
            command += ["-c", f"ssl_ca_file={authority}"]
        return Launch(command=command, user=server_user(), stop_signal=signal.SIGINT)

    def answers(self, port: int) -> bool:
        """Return whether it says so in the file where its own tools read it, and so without logging in."""
        said = self.data / "postmaster.pid"
        return ports.answers(port) and said.read_text().split()[-1:] == ["ready"]

    def endpoint(self, port: int) -> str:
        return f"postgresql://{ROLE}:{PASSWORD}@{ports.LOOPBACK}:{port}/postgres"


@contextmanager
def secure_servers(folder: Path) -> Iterator[SecureServers]:
    """Run three of each: one with a certificate that is good, one with an expired one, one that wants one."""
    authority, stranger = trustme.CA(), trustme.CA()
    certificates = client_certificates(folder / "clients")
    good = authority.issue_cert(ports.LOOPBACK)
    a_year_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=365)
    a_day_later = a_year_ago + dt.timedelta(days=1)
    expired = authority.issue_cert(ports.LOOPBACK, not_before=a_year_ago, not_after=a_day_later)
    programs: dict[str, Program] = {
        "redis": SecureRedis(certificate=good),
        "postgres": SecurePostgres(certificate=good, data=folder / "postgres" / "data"),
        "expired-redis": SecureRedis(certificate=expired),
        "expired-postgres": SecurePostgres(certificate=expired, data=folder / "expired-postgres" / "data"),
        "mutual-redis": SecureRedis(certificate=good, trusted=certificates.authority),
        "mutual-postgres": SecurePostgres(
            certificate=good, data=folder / "mutual-postgres" / "data", trusted=certificates.authority
        ),
    }
    servers = [EmbeddedServer(each, folder=folder / name, port=ports.free_port()) for name, each in programs.items()]
    for name, each in (("authority", authority), ("stranger", stranger)):
        each.cert_pem.write_to_path(str(folder / f"{name}.pem"))
    try:
        for server in servers:
            server.start()
        redis, postgres, expired_redis, expired_postgres, mutual_redis, mutual_postgres = (
            server.endpoint for server in servers
        )
        yield SecureServers(
            redis=redis,
            postgres=postgres,
            expired_redis=expired_redis,
            expired_postgres=expired_postgres,
            mutual_redis=mutual_redis,
            mutual_postgres=mutual_postgres,
            certificates=certificates,
            authority=folder / "authority.pem",
            stranger=folder / "stranger.pem",
        )
    finally:
        for server in servers:
            server.stop()


def _write(certificate: trustme.LeafCert, folder: Path, owner: tuple[int, int] | None = None) -> tuple[Path, Path]:
    """Write a certificate and its key into a folder, for nobody but its owner."""
    chain, key = folder / "server.pem", folder / "server.key"
    chain.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    key.touch(mode=0o600)
    certificate.private_key_pem.write_to_path(str(key))
    if owner:
        os.chown(key, *owner)
    return chain, key
