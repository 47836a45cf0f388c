"""A broker of the user's own is asked whether it can commit exactly once."""

from __future__ import annotations

import struct
import threading
from contextlib import contextmanager
from socketserver import BaseRequestHandler, TCPServer
from typing import TYPE_CHECKING

import pytest

from infra.embedded.broker_version import check_broker
from infra.embedded.errors import OldBrokerError
from infra.embedded.ports import free_port
from schemas.errors import UnavailableError
from schemas.server_settings import Kafka

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _answering(answer: bytes) -> Iterator[Kafka]:
    class Answer(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1_024)
            self.request.sendall(answer)

    with TCPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Kafka(bootstrap_servers=f"127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()


def _versions(txn_offset_commit: int) -> bytes:
    body = struct.pack(">ihi", 0, 0, 2) + struct.pack(">hhh", 18, 0, 3) + struct.pack(">hhh", 28, 0, txn_offset_commit)
    return struct.pack(">i", len(body)) + body


def test_a_broker_of_2_5_is_taken() -> None:
    with _answering(_versions(3)) as kafka:
        check_broker(kafka)


def test_a_broker_older_than_2_5_is_refused_with_what_to_do() -> None:
    with _answering(_versions(2)) as kafka, pytest.raises(OldBrokerError, match=r"older than 2\.5 .* upgrade it"):
        check_broker(kafka)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x02\x00\x00"])
def test_what_is_no_broker_is_refused(answer: bytes) -> None:
    with _answering(answer) as kafka, pytest.raises(UnavailableError, match="No Kafka broker answers"):
        check_broker(kafka)


def test_a_list_of_brokers_is_tried_until_one_answers() -> None:
    with _answering(_versions(5)) as kafka:
        check_broker(Kafka(bootstrap_servers=f"127.0.0.1:{free_port()},{kafka.bootstrap_servers}"))


@pytest.mark.parametrize("servers", ["nowhere", "127.0.0.1:http", ""])
def test_an_address_that_is_none_is_told(servers: str) -> None:
    with pytest.raises(UnavailableError, match="INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS"):
        check_broker(Kafka(bootstrap_servers=servers))
