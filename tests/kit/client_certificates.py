"""Certificates that clients show: one that a server which demands one takes, and one that somebody else has signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import trustme
from cryptography.hazmat.primitives import serialization

if TYPE_CHECKING:
    from pathlib import Path

NAME = "worker"
KEY_PASSWORD = "planted-password-of-the-key/%41 &"  # noqa: S105 - of a key of the tests


class Certificate(NamedTuple):
    """One of them."""

    chain: Path
    key: Path

    def settings(self, section: str) -> dict[str, Any]:
        """Return the settings of a server to show it to, by their names without the prefix."""
        return {
            f"{section}__SSL_CERTIFICATE_LOCATION": self.chain,
            f"{section}__SSL_KEY_LOCATION": self.key,
            f"{section}__SSL_KEY_PASSWORD": KEY_PASSWORD,
        }


class ClientCertificates(NamedTuple):
    """All of them."""

    authority: Path
    """PEM file of whom servers are to trust."""
    ours: Certificate
    strangers: Certificate


def client_certificates(folder: Path) -> ClientCertificates:
    """Make them."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, somebody_else = trustme.CA(), trustme.CA()
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return ClientCertificates(
        authority=path, ours=_issue(authority, folder, "ours"), strangers=_issue(somebody_else, folder, "strangers")
    )


def _issue(authority: trustme.CA, folder: Path, name: str) -> Certificate:
    # Java reads no certificate whose list of names beside the subject is empty.
    issued = authority.issue_cert(f"{NAME}.example", common_name=NAME)
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    private = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(KEY_PASSWORD.encode()),
        )
    )
    return Certificate(chain, key)
