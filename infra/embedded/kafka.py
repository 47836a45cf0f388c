"""The embedded broker: one node of Kafka that is its own controller (KRaft), tuned to start fast and stay small."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.embedded import ports
from infra.embedded.complaints import last_complaint
from infra.embedded.errors import ServerDiedError
from infra.embedded.jars import resolve_class_path
from infra.embedded.java import find_java
from infra.embedded.process import Launch

if TYPE_CHECKING:
    import threading

    from infra.embedded.server import Say

_LOG4J = Path(__file__).with_name("log4j2.xml")
_METADATA_SECONDS = 2.0

# A dead letter is a record of any size the topics allow, plus the headers that say why it is one.
_MAX_MESSAGE_BYTES = 10 * 1024 * 1024 + 64 * 1024


@dataclass(frozen=True, kw_only=True)
class KafkaProgram:
    """How to run the broker.

    Attributes:
        jars: The folder where the class path is remembered; may be shared.
        heap_megabytes: The most that Java may take for objects.
    """

    jars: Path
    heap_megabytes: int = 512
    name: str = "kafka"
    port_setting: str = "INTENTSTREAM_EMBEDDED__KAFKA_PORT"

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:
        """Bring the jars, write the broker's configuration, and format its log folder the first time."""
        java = [str(find_java()), *_java_options(folder, self.heap_megabytes)]
        java += ["-cp", resolve_class_path(self.jars, say=say, cancelled=cancelled)]
        scratch = folder / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        properties = folder / "server.properties"
        properties.write_text(_properties(folder / "log", port))
        if not (folder / "log" / "meta.properties").exists():
            say("formatting its data folder")
            _format(java, properties)
        return Launch(command=[*java, f"-Xmx{self.heap_megabytes}m", "kafka.Kafka", str(properties)])

    def answers(self, port: int) -> bool:
        """Return whether the broker tells its metadata."""
        if not ports.answers(port):
            return False
        silent = logging.getLogger("infra.embedded.kafka.probe")
        silent.addHandler(logging.NullHandler())
        silent.propagate = False  # a broker that is starting refuses a few times, which is no news
        try:
            metadata = AdminClient({"bootstrap.servers": self.endpoint(port)}, logger=silent).list_topics(
                timeout=_METADATA_SECONDS
            )
        except KafkaException:
            return False
        return bool(metadata.brokers)

    def endpoint(self, port: int) -> str:
        """Return its bootstrap servers."""
        return f"{ports.LOOPBACK}:{port}"


def _java_options(folder: Path, heap_megabytes: int) -> list[str]:
    return [
        "-Xms64m",
        f"-Xmx{heap_megabytes}m",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",  # it would leave a file in /tmp
        "-XX:+ExitOnOutOfMemoryError",
        "-Xshare:auto",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dlog4j2.configurationFile={_LOG4J.resolve()}",
    ]


def _format(java: list[str], properties: Path) -> None:
    """Write the cluster's identity into an empty log folder."""
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [*java, "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool"]
    command += ["format", f"--cluster-id={cluster}", "--config", str(properties)]
    formatted = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if formatted.returncode != 0:
        said = last_complaint(formatted.stdout + formatted.stderr)
        raise ServerDiedError(f"Kafka could not format {properties.parent}, and says: {said}")


def _properties(logs: Path, port: int) -> str:
    controller = ports.free_port()
    lines = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{ports.LOOPBACK}:{controller}",
        "listeners": f"PLAINTEXT://{ports.LOOPBACK}:{port},CONTROLLER://{ports.LOOPBACK}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": logs,
        # Topics are made by `topics apply`; a mistyped name is an error, not a topic.
        "auto.create.topics.enable": "false",
        "message.max.bytes": _MAX_MESSAGE_BYTES,
        "replica.fetch.max.bytes": _MAX_MESSAGE_BYTES,
        # One node holds all there is.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 10,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 10,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Nobody waits for members that will not come, nor long for a dead worker's transaction.
        "group.initial.rebalance.delay.ms": 0,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000,
        "transaction.max.timeout.ms": 900_000,
        "controlled.shutdown.max.retries": 1,
        # A broker that was killed may come back only when its last registration has run out: 9 s unless told otherwise.
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": max(2, os.cpu_count() or 2),
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())
