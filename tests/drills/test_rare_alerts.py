"""Alerts that take a worker of their own: one that has a bug, little memory, and a thin line to Postgres.

As in `test_alerts`, all patience is 60 times as short; so is the time for which the sink may be behind.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from infra.chaos.proxy import FREE, FaultProxy, Passage
from infra.embedded.ports import free_port
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.buggy_worker import FATAL
from tests.kit.control_group import ControlGroup, control_group
from tests.kit.load import Stream, publish, utterances
from tests.kit.prometheus import hurried_rules, prometheus
from tests.kit.waiting import wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import Show
    from tests.kit.prometheus import Prometheus

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

TIMES = 60
PLENTY_BYTES = 4 * 2**30
SCARCE = 1.05
"""Of what the worker uses: more than it needs, and less than it is to have."""

THIN = Passage(bytes_per_second=8_192)
PER_SECOND = 40


class Site(NamedTuple):
    """All that runs, and may be broken."""

    broker: str
    line: FaultProxy
    group: ControlGroup
    worker: WorkerProcess
    prometheus: Prometheus


@pytest.fixture(scope="module")
def site(
    postgres_server: EmbeddedServer,
    prometheus_program: Path,
    prepared_models: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("rare")
    with (
        running_broker(tmp_path_factory.mktemp("broker")) as broker,
        FaultProxy(port=free_port(), target=postgres_server.port) as line,
        control_group() as group,
    ):
        create_our_topics(broker.endpoint)
        worker = WorkerProcess(
            broker.endpoint,
            state_folder=prepared_models,
            log_file=folder / "worker.log",
            POSTGRES__DSN=postgres_server.endpoint.replace(str(postgres_server.port), str(line.port)),
            SINK__BATCH_RECORDS=20,
        )
        worker.command = group.around((sys.executable, "-m", "tests.kit.buggy_worker"))
        with worker, prometheus(prometheus_program, folder / "prometheus", worker, rules=hurried_rules(TIMES)) as reads:
            worker.wait_until_loaded()
            wait_until(lambda: reads.value("up") == 1, "the worker is read")
            yield Site(broker.endpoint, line, group, worker, reads)


@contextmanager
def bug(site: Site) -> Iterator[None]:
    publish(site.broker, utterances(1, texts=[FATAL]))
    yield


@contextmanager
def little_memory(site: Site) -> Iterator[None]:
    site.group.limit(int(site.worker.metric("process_resident_memory_bytes") * SCARCE))
    try:
        yield
    finally:
        site.group.limit(PLENTY_BYTES)


@contextmanager
def thin_line_to_postgres(site: Site) -> Iterator[None]:
    """Have more come than goes through to Postgres, which takes it all the same."""
    site.line.let(THIN)
    try:
        with Stream(site.broker, utterances(100_000), per_second=PER_SECOND):
            yield
            assert site.worker.metric("intentstream_sink_read_only") == 0
    finally:
        site.line.let(FREE)


TROUBLES: dict[str, Callable[[Site], AbstractContextManager[None]]] = {
    "IntentstreamUnexpectedErrors": bug,
    "IntentstreamMemory": little_memory,
    "IntentstreamSinkBehind": thin_line_to_postgres,
}
RARE = TROUBLES.keys()


@pytest.mark.parametrize(("alert", "trouble"), TROUBLES.items(), ids=TROUBLES)
def test_an_alert_fires_while_something_is_broken_and_clears_when_it_is_mended(
    site: Site, alert: str, trouble: Callable[[Site], AbstractContextManager[None]], show: Show
) -> None:
    show(site.prometheus.sees({alert}, trouble(site)))
