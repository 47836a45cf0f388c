"""Whether a broker of the user's own can do what exactly-once needs, asked before a worker fails halfway through.

The intake fences zombies by group generation (KIP-447), which a broker can since 2.5. No client library tells which
requests a broker knows, so this speaks the one request that every broker answers before anything else, ApiVersions v0:
https://kafka.apache.org/protocol#The_Messages_ApiVersions
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import TYPE_CHECKING

from infra.embedded.errors import OldBrokerError
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from schemas.server_settings import Kafka

_API_VERSIONS = 18
_TXN_OFFSET_COMMIT = 28
_KIP_447_VERSION = 3  # of TxnOffsetCommit: the first that carries the group's generation
_MAX_ANSWER_BYTES = 65_536
_NAME = "INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS"


def check_broker(kafka: Kafka, *, timeout_seconds: float = 5.0) -> None:
    """Make sure that the first broker named that answers is new enough.

    Args:
        kafka: Where brokers are, and whether they speak TLS; `bootstrap_servers` must be set.
        timeout_seconds: For each broker named.

    Raises:
        OldBrokerError: It is too old.
        UnavailableError: None answers.
    """
    servers = (kafka.bootstrap_servers or "").split(",")
    refused: OSError | None = None
    for server in servers:
        try:
            newest = _newest_versions(server.strip(), kafka, timeout_seconds)
        except OSError as error:
            refused = error
            continue
        if newest.get(_TXN_OFFSET_COMMIT, 0) < _KIP_447_VERSION:
            raise OldBrokerError(
                f"The Kafka broker at {server} is older than 2.5 and cannot commit exactly once (KIP-447): "
                f"upgrade it, or leave {_NAME} out to use the embedded broker."
            )
        return
    raise UnavailableError(
        f"No Kafka broker answers at {kafka.bootstrap_servers} ({refused}): start it, or mend {_NAME}, "
        "or leave that out to use the embedded broker."
    ) from refused


def _newest_versions(server: str, kafka: Kafka, timeout_seconds: float) -> dict[int, int]:
    """Return the newest version of each request that a broker knows, by the request's number."""
    host, _, port = server.rpartition(":")
    try:
        address = host.strip("[]"), int(port)
    except ValueError as error:
        raise OSError(f"{server!r} is not host:port") from error
    with socket.create_connection(address, timeout=timeout_seconds) as plain:
        if "SSL" not in kafka.security_protocol.split("_"):
            return _ask(plain)
        context = ssl.create_default_context(cafile=kafka.ssl_ca_location)
        if kafka.ssl_certificate_location:
            password = kafka.ssl_key_password.get_secret_value() if kafka.ssl_key_password else ""
            context.load_cert_chain(kafka.ssl_certificate_location, kafka.ssl_key_location, password=lambda: password)
        with context.wrap_socket(plain, server_hostname=address[0]) as secured:
            return _ask(secured)


def _ask(connection: socket.socket) -> dict[int, int]:
    client = b"intentstream"
    request = struct.pack(f">hhih{len(client)}s", _API_VERSIONS, 0, 0, len(client), client)
    connection.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _read(connection, 4))
    if not 0 < length < _MAX_ANSWER_BYTES:
        raise OSError("what answers there does not speak Kafka")
    answer = _read(connection, length)
    try:
        _correlation, _error, count = struct.unpack_from(">ihi", answer)
        triples = struct.iter_unpack(">hhh", answer[10 : 10 + 6 * count])
        return {request: newest for request, _oldest, newest in triples}
    except struct.error as error:
        raise OSError("what answers there does not speak Kafka") from error


def _read(connection: socket.socket, length: int) -> bytes:
    answer = b""
    while len(answer) < length:
        chunk = connection.recv(length - len(answer))
        if not chunk:
            raise OSError("the connection was closed without an answer")
        answer += chunk
    return answer
