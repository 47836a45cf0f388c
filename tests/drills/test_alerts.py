"""What each alert is about is really broken: a real Prometheus sees it fire, and clear once it is mended.

Prometheus has the rules that are shipped, with every window and all patience 60 times as short; thresholds stay. The
budget's windows of days are 720 times as short, for a second Prometheus.
"""

from __future__ import annotations

import itertools
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer

from flags.clients import reader_config, writer_config
from infra.embedded.ports import free_port
from infra.embedded.server import EmbeddedServer
from infra.monitoring_page import alert_rules
from models.catalogue import default_catalogue_path, load_catalogue
from models.preparation import prepare
from schemas.settings import Settings
from streams.release_writer import ReleaseWriter
from streams.topics import FLAGS, MODELS
from tests.drills.test_rare_alerts import RARE
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.command import run_command
from tests.kit.load import Record, Stream, publish, utterances
from tests.kit.model_servers import TEXTS, MLServerProgram
from tests.kit.prometheus import alert_name, hurried_rules, prometheus
from tests.kit.waiting import wait_until
from tests.kit.word_release import write_release
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.drills.conftest import Show
    from tests.kit.prometheus import Prometheus

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

TIMES = 60
DAYS_TIMES = 720
"""Makes of three days six minutes, and half a minute of the six hours that must be over for an alert to clear."""

CALLERS = 4
APART_SECONDS = 0.5
"""Callers that all wait for a timeout are to be answered one after another."""

CATALOGUE = default_catalogue_path()
LABELS = load_catalogue(CATALOGUE).labels
CORRECTION = {"kind": "correction", "utterance_id": "u", "person_id": "p", "intent": LABELS[0], "text": "hello there"}


class Servers(NamedTuple):
    """What the worker talks to."""

    broker: EmbeddedServer
    redis: EmbeddedServer
    postgres: EmbeddedServer
    model_server: EmbeddedServer


class Site(NamedTuple):
    """All that runs, and may be broken."""

    servers: Servers
    worker: WorkerProcess
    prometheus: Prometheus
    hasty_prometheus: Prometheus
    folder: Path

    @property
    def broker(self) -> str:
        """Its bootstrap servers."""
        return self.servers.broker.endpoint


@pytest.fixture(scope="module")
def servers(
    redis_server: EmbeddedServer,
    postgres_server: EmbeddedServer,
    mlserver_program: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Servers]:
    """All that a worker may talk to; the model server's model knows an intent by its name."""
    release = tmp_path_factory.mktemp("release")
    write_release(release, LABELS, words=LABELS)
    program = MLServerProgram(program=mlserver_program, release=release)
    model_server = EmbeddedServer(program, folder=tmp_path_factory.mktemp("mlserver"), port=free_port())
    with running_broker(tmp_path_factory.mktemp("broker")) as broker:
        create_our_topics(broker.endpoint)
        try:
            model_server.start()
            yield Servers(broker, redis_server, postgres_server, model_server)
        finally:
            model_server.resume()
            model_server.stop()


@pytest.fixture(scope="module")
def site(
    servers: Servers, prometheus_program: Path, prepared_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A worker that has all of them, and is read by Prometheus. Its models are its own: it is given releases."""
    folder = tmp_path_factory.mktemp("alerts")
    prepare(Settings(state_folder=prepared_models), load_catalogue(CATALOGUE), lambda *_: None)
    shutil.copytree(prepared_models, folder / "state")
    settings = {
        "REDIS__URL": servers.redis.endpoint,
        "POSTGRES__DSN": servers.postgres.endpoint,
        "REMOTE__KIND": "oip",
        "REMOTE__MODEL": TEXTS,
        "REMOTE__URL": servers.model_server.endpoint,
        # A hung model server is to be felt for as long as it hangs.
        "CHAIN__BREAKER_FAILURES": "1000000",
    }
    worker = WorkerProcess(
        servers.broker.endpoint, state_folder=folder / "state", log_file=folder / "worker.log", **settings
    )
    with (
        worker,
        prometheus(prometheus_program, folder / "prometheus", worker, rules=hurried_rules(TIMES)) as reading,
        prometheus(prometheus_program, folder / "hasty", worker, rules=hurried_rules(DAYS_TIMES)) as hasty,
    ):
        worker.wait_until_ready()
        wait_until(lambda: reading.value("up") == hasty.value("up") == 1, "the worker is read")
        yield Site(servers, worker, reading, hasty, folder)


@contextmanager
def hung_worker(site: Site) -> Iterator[None]:
    site.worker.suspend()
    try:
        yield
    finally:
        site.worker.resume()
    site.worker.wait_until_ready()


@contextmanager
def no_worker(site: Site) -> Iterator[None]:
    site.prometheus.watch()
    try:
        yield
    finally:
        site.prometheus.watch(site.worker)


@contextmanager
def killed_redis(site: Site) -> Iterator[None]:
    site.servers.redis.kill()
    try:
        yield
    finally:
        site.servers.redis.start()


@contextmanager
def stopped_postgres(site: Site) -> Iterator[None]:
    site.servers.postgres.stop()
    try:
        yield
    finally:
        site.servers.postgres.start()


@contextmanager
def poison(site: Site) -> Iterator[None]:
    publish(site.broker, [Record(b"\xff", "key")])
    yield


@contextmanager
def damaged_flag(site: Site) -> Iterator[None]:
    producer = Producer({"bootstrap.servers": site.broker})
    producer.produce(FLAGS, b"vandal", b"quality_mode")
    assert producer.flush(20) == 0
    yield


@contextmanager
def release_that_is_nowhere(site: Site) -> Iterator[None]:
    """Have a release served whose folder others have just moved away, and bring that back."""
    store = site.folder / "store"
    pushed = run_command(
        *("models", "push", "--catalogue", str(CATALOGUE)),
        KAFKA__BOOTSTRAP_SERVERS=site.broker,
        STATE_FOLDER=site.folder / "elsewhere",
        MODELS__STORE=store,
    )
    assert pushed.returncode == 0, pushed.stderr.decode()
    [there] = (store / "catalogue").iterdir()
    away = there.rename(site.folder / "moved")
    client = {"bootstrap.servers": site.broker}
    writer = ReleaseWriter(
        new_producer=lambda: Producer(writer_config(client, "group", purpose="models-writer")),
        new_consumer=lambda: Consumer(reader_config(client)),
        topic=MODELS,
    )
    try:
        writer.promote("catalogue", there.name, by="tests", reason="a drill")
        yield
    finally:
        writer.close()
        away.rename(there)


@contextmanager
def texts_that_nobody_said_before(site: Site) -> Iterator[None]:
    with Stream(site.broker, utterances(100_000, texts=strange_texts()), per_second=40):
        yield


@contextmanager
def stopped_broker(site: Site) -> Iterator[None]:
    site.servers.broker.stop()
    try:
        with repeatedly(lambda: site.worker.post("/api/v1/feedback", CORRECTION)):
            yield
    finally:
        site.servers.broker.start()
    site.worker.wait_until_ready()


@contextmanager
def hung_model_server(site: Site) -> Iterator[None]:
    """Freeze the model server that is asked first, while more comes in than can be answered without it."""
    texts = iter(strange_texts())
    with flag(site, "quality_mode", on=True), flag(site, "zero_shot_fallback", on=False):
        wait_until(lambda: answered_by(site, LABELS[0]) == "distilbert", "the model server answers")
        site.servers.model_server.suspend()
        try:
            with (
                Stream(site.broker, utterances(100_000, texts=strange_texts()), per_second=20),
                repeatedly(lambda: site.worker.classify(next(texts))),
            ):
                yield
        finally:
            site.servers.model_server.resume()


@contextmanager
def flag(site: Site, name: str, *, on: bool) -> Iterator[None]:
    """Have a flag other than it is."""

    def turn(*, on: bool) -> None:
        body = {"enabled": on, "reason": "a drill", "changed_by": "tests"}
        status, answer = site.worker.patch(f"/api/v1/feature-flags/{name}", body, seconds=60)
        assert status == 200, answer

    turn(on=on)
    try:
        yield
    finally:
        turn(on=not on)


def answered_by(site: Site, text: str) -> str:
    status, answer = site.worker.classify(text)
    assert status == 200, answer
    tier: str = answer["result"]["tier"]
    return tier


def strange_texts() -> list[str]:
    """Return texts that neither the cache nor the rules can know."""
    return [f"zorblax {next(_numbers)} quibbles under lavender thursdays" for _ in range(100_000)]


_numbers = itertools.count()


@contextmanager
def repeatedly(act: Callable[[], object]) -> Iterator[None]:
    """Do something beside the test, by several at once, again and again."""
    over = threading.Event()

    def go_on(number: int) -> None:
        over.wait(number * APART_SECONDS)
        while not over.is_set():
            act()

    with ThreadPoolExecutor(CALLERS) as callers:
        running = [callers.submit(go_on, number) for number in range(CALLERS)]
        try:
            yield
        finally:
            over.set()
    for each in running:
        each.result()


class Trouble(NamedTuple):
    """What breaks, together.

    Attributes:
        breaks: Each breaks on entering, and is mended on leaving.
        alerts: What that makes fire; where an alert has several windows, with the window.
        days: Whether it is for days, to those who watch.
    """

    breaks: tuple[Callable[[Site], AbstractContextManager[None]], ...]
    alerts: frozenset[str]
    days: bool = False


TROUBLES = {
    "a worker hangs": Trouble((hung_worker,), frozenset({"IntentstreamDown"})),
    "no worker is known": Trouble((no_worker,), frozenset({"IntentstreamAbsent"})),
    "small things go wrong": Trouble(
        (killed_redis, stopped_postgres, poison, damaged_flag, release_that_is_nowhere, texts_that_nobody_said_before),
        frozenset(
            {
                "IntentstreamDependencyAway",
                "IntentstreamSinkReadOnly",
                "IntentstreamDeadLetters",
                "IntentstreamFlagsInvalid",
                "IntentstreamReleaseBehind",
                "IntentstreamCacheMisses",
            }
        ),
    ),
    "the model server hangs": Trouble(
        (hung_model_server,),
        frozenset(
            {
                "IntentstreamModelServerAway",
                "IntentstreamModelUnhealthy",
                "IntentstreamTierFailing",
                "IntentstreamRoutingImbalance",
                "IntentstreamSlowStream",
                "IntentstreamSlowHttp",
                "IntentstreamLagGrowing",
                "IntentstreamStuckPartition",
            }
        ),
    ),
    "the broker is stopped": Trouble(
        (stopped_broker,),
        frozenset(
            {
                "IntentstreamDependencyAway",
                "IntentstreamFlagsStale",
                "IntentstreamErrors",
                "IntentstreamErrorBudget 1h",
                "IntentstreamErrorBudget 6h",
            }
        ),
    ),
    "the broker is stopped for days": Trouble(
        (stopped_broker,), frozenset({"IntentstreamErrorBudget 1d", "IntentstreamErrorBudget 3d"}), days=True
    ),
}


def test_every_alert_has_a_drill() -> None:
    provoked = {alert for trouble in TROUBLES.values() for alert in trouble.alerts}
    assert provoked | RARE == {alert_name(rule["alert"], rule["labels"]) for rule in alert_rules()}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_alerts_fire_while_something_is_broken_and_clear_when_it_is_mended(
    site: Site, trouble: Trouble, show: Show
) -> None:
    watching = site.hasty_prometheus if trouble.days else site.prometheus
    show(watching.sees(trouble.alerts, all_at_once(site, trouble)))


@contextmanager
def all_at_once(site: Site, trouble: Trouble) -> Iterator[None]:
    with ExitStack() as broken:
        for breaks in trouble.breaks:
            broken.enter_context(breaks(site))
        yield
