"""Real servers for the tests: each on a free port, in a folder of its own, and gone when the tests are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.embedded.kafka import KafkaProgram
from infra.embedded.ports import free_port
from infra.embedded.postgres import PostgresProgram
from infra.embedded.redis import RedisProgram
from infra.embedded.server import EmbeddedServer, Program
from tests.kit.browser import bring_axe
from tests.kit.secure_servers import DEBIAN, secure_servers
from tests.kit.spread import MEASURED, DrillsApart, step_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.secure_servers import SecureServers

JARS = Path(__file__).parents[1] / ".intentstream" / "jars"  # shared with `intentstream up`: brought once a checkout
PROMETHEUS = Path(__file__).parents[1] / ".intentstream" / "prometheus" / "usr" / "bin"
SERVERS = Path(__file__).parent / "servers"

# Taken out of the environment: these are no settings, and what the tests start would refuse them.
_TAKEN_OUT = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("INTENTSTREAM_TEST_")}
TEST_DATA = _TAKEN_OUT.get("INTENTSTREAM_TEST_DATA")
TEST_CONFORMANCE = _TAKEN_OUT.get("INTENTSTREAM_TEST_CONFORMANCE")
TEST_MLSERVER = _TAKEN_OUT.get("INTENTSTREAM_TEST_MLSERVER")
TEST_TORCHSERVE = _TAKEN_OUT.get("INTENTSTREAM_TEST_TORCHSERVE")
TEST_MOTO_SERVER = _TAKEN_OUT.get("INTENTSTREAM_TEST_MOTO_SERVER")
TEST_PROMETHEUS = _TAKEN_OUT.get("INTENTSTREAM_TEST_PROMETHEUS")

# A broker that lives for seconds never gets back what Java's second compiler costs: half of a start. Set it to nothing
# to measure with a broker as it comes.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> DrillsApart:
    return DrillsApart(config, log)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", default=None):  # each of them takes these out for itself
        os.environ.update(_TAKEN_OUT)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {line}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "teardown"
        for name, line in report.user_properties
        if name == MEASURED
    ]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    step_back(item)


class NamedServer(EmbeddedServer):
    """A server of the user's own, which tests may use and not touch."""

    def __init__(self, program: Program, *, folder: Path, endpoint: str) -> None:
        super().__init__(program, folder=folder, port=0)
        self._endpoint = endpoint

    @property
    def endpoint(self) -> str:
        return self._endpoint

    def _spare(self) -> None:
        pytest.skip(f"needs a {self.program.name} of its own to stop and start")

    def stop(self) -> None:
        self._spare()

    def kill(self) -> None:
        self._spare()

    def suspend(self) -> None:
        self._spare()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of public data sets."""
    if TEST_DATA is None:
        pytest.skip("needs public data sets: name their folder in INTENTSTREAM_TEST_DATA")
    return Path(TEST_DATA)


@pytest.fixture(scope="session")
def mlserver_program() -> Path:
    """MLServer, a server of the Open Inference Protocol."""
    return _server("mlserver", TEST_MLSERVER)


@pytest.fixture(scope="session")
def torchserve_program() -> Path:
    """TorchServe."""
    return _server("torchserve", TEST_TORCHSERVE)


@pytest.fixture(scope="session")
def moto_program() -> Path:
    """moto's server of S3's protocol; beside it are intentstream and what speaks that protocol."""
    return _server("moto_server", TEST_MOTO_SERVER, of="s3")


@pytest.fixture(scope="session")
def promtool_program() -> Path:
    """Prometheus' tool for checking metrics, rules and configurations."""
    return _of_prometheus("promtool")


@pytest.fixture(scope="session")
def prometheus_program() -> Path:
    """Prometheus."""
    return _of_prometheus("prometheus")


def _of_prometheus(name: str) -> Path:
    """Return a program of Prometheus: from the folder named in the environment, from PATH, or brought here."""
    path = TEST_PROMETHEUS or os.pathsep.join([os.environ.get("PATH", ""), str(PROMETHEUS)])
    program = shutil.which(name, path=path)
    if program is None:
        pytest.skip(f"needs {name}: `make install-prometheus`, or name its folder in INTENTSTREAM_TEST_PROMETHEUS")
    return Path(program)


def _server(name: str, named: str | None, *, of: str = "") -> Path:
    """Return the program of a server: the one named in the environment, else the one installed here."""
    program = Path(named or SERVERS / (of or name) / ".venv" / "bin" / name)
    if not program.is_file():
        pytest.skip(f"needs {program}: `make install-servers`, or name another in INTENTSTREAM_TEST_{name.upper()}")
    return program


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Deque's accessibility checker."""
    return bring_axe(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="session")
def conformance_folder() -> Path:
    """The folder of other people's specifications."""
    if TEST_CONFORMANCE is None:
        pytest.skip("needs OpenFeature's `ofrep-openapi.yaml`: name its folder in INTENTSTREAM_TEST_CONFORMANCE")
    return Path(TEST_CONFORMANCE)


def _serve(program: Program, folders: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(program, folder=folders.mktemp(program.name), port=free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A broker; `endpoint` is its bootstrap servers. Topic names are each test's own to keep apart.

    A test that stops, kills or suspends it leaves it running again. Where the user names a broker, that is taken.
    """
    program = KafkaProgram(jars=JARS)
    named = os.environ.get("INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS")
    if named:
        yield NamedServer(program, folder=tmp_path_factory.mktemp("kafka"), endpoint=named)
    else:
        yield from _serve(program, tmp_path_factory)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A Redis; `endpoint` is its URL. A test that stops, kills or suspends it leaves it running again."""
    yield from _serve(RedisProgram(), tmp_path_factory)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A Postgres; `endpoint` is its DSN. A test that stops, kills or suspends it leaves it running again."""
    yield from _serve(PostgresProgram(), tmp_path_factory)


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServers]:
    """A Redis and a Postgres that speak TLS alone."""
    if not (DEBIAN / "complete").exists():
        pytest.skip("needs a Redis and a Postgres that know TLS: `make install-secure-servers`")
    with secure_servers(tmp_path_factory.mktemp("secure")) as servers:
        yield servers


@pytest.fixture(scope="session")
def prepared_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder for workers to share: the first of them prepares the models, once a run."""
    return tmp_path_factory.mktemp("state")
