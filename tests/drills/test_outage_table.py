"""Every combination of what a worker talks to is taken from it, and what its probes say is held against the page.

`DRILL_WRITE_TABLE=1` writes `docs/outages.md` anew from what is seen; without it, what is seen must stand there.
"""

from __future__ import annotations

import json
import os
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from health.probes import STALE_SECONDS
from models.catalogue import default_catalogue_path, load_catalogue
from tests.kit.model_servers import TEXTS
from tests.kit.waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.worker import WorkerProcess

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "outages.md"
WRITES = bool(os.environ.get("DRILL_WRITE_TABLE"))
SETTLED_SECONDS = 6.0
"""What stays so long is what is written down: three rounds of the checks."""

SERVERS = {"Redis": "redis", "Postgres": "postgres", "the model server": "model_server", "the broker": "kafka"}
"""What may be away, and what the worker calls it; the first go and come the most often."""

PROBES = ("", "/live", "/ready", "/startup", "/models", "/dependencies", "/flags")
LABELS = load_catalogue(default_catalogue_path()).labels

Away = frozenset[str]
Row = tuple[str, ...]

INTRODUCTION = """\
# What is said when something is away

<!-- Written by `DRILL_WRITE_TABLE=1 pytest tests/drills/test_outage_table.py`, from what a worker answered. -->

A worker whose tier `distilbert` a model server answers for, while every combination of that server, Redis, Postgres and
the broker is stopped: what each [probe](operations.md#probes) says, and an utterance sent over HTTP. Each cell has the
status, in HTTP and in the answer, and what is not well. Only the broker makes a worker unready, and nothing keeps it
from answering.

"""


@pytest.fixture
def servers(
    broker: EmbeddedServer, redis_server: EmbeddedServer, postgres_server: EmbeddedServer, model_server: EmbeddedServer
) -> Iterator[dict[str, EmbeddedServer]]:
    """Each by its name; all run again afterwards."""
    named = dict(zip(SERVERS, (redis_server, postgres_server, model_server, broker), strict=True))
    try:
        yield named
    finally:
        for server in named.values():
            if server.pid is None:
                server.start()


@pytest.fixture
def worker(
    servers: Mapping[str, EmbeddedServer], new_worker: NewWorker, monkeypatch: pytest.MonkeyPatch
) -> WorkerProcess:
    """A worker that has all of them, and has loaded all that it loads."""
    monkeypatch.setenv("FEATURE_FLAG_QUALITY_MODE_ENABLED", "true")
    worker = new_worker(
        REDIS__URL=servers["Redis"].endpoint,
        POSTGRES__DSN=servers["Postgres"].endpoint,
        REMOTE__KIND="oip",
        REMOTE__URL=servers["the model server"].endpoint,
        REMOTE__MODEL=TEXTS,
        CACHE__LOCAL_ENTRIES=0,
        CHAIN__BREAKER_OPEN_SECONDS=1,
    )
    worker.wait_until_ready()
    wait_until(lambda: report(worker, "/startup")["status"] == "pass", "every model is loaded", seconds=90)
    return worker


def test_every_combination_of_outages_is_told_as_the_page_has_it(
    servers: Mapping[str, EmbeddedServer], worker: WorkerProcess, show: Show
) -> None:
    seen: dict[Away, Row] = {}
    documented = rows_in(PAGE.read_text()) if PAGE.exists() else {}
    for away in one_change_at_a_time(tuple(SERVERS)):
        for name, server in servers.items():
            if (server.pid is None) != (name in away):
                server.stop() if name in away else server.start()
        wait_until(
            partial(notices, worker, away), f"the worker notices {sorted(away)} away", also=partial(said, worker)
        )
        seen[away] = settled(worker) if WRITES else awaited(worker, away, documented)
        assert worker.exit_code is None
    show(f"{len(seen)} combinations")
    if WRITES:
        PAGE.write_text(page(seen))
    assert PAGE.read_text() == page(seen)


def one_change_at_a_time(names: tuple[str, ...]) -> Iterator[Away]:
    """Yield every combination once, in the order of Gray's code, and the first again at the end."""
    for number in (*range(2 ** len(names)), 0):
        code = number ^ number >> 1
        yield frozenset(name for bit, name in enumerate(names) if code >> bit & 1)


def notices(worker: WorkerProcess, away: Away) -> bool:
    """Return whether a worker knows what is away and what is not, and how much that has cost it."""
    checks = report(worker, "/dependencies")["checks"]
    missed = {name for name, check in SERVERS.items() if checks[f"{check}:availability"][0]["status"] != "pass"}
    is_stale = worker.metric("intentstream_flags_age_seconds") > STALE_SECONDS
    return missed == away and is_stale == ("the broker" in away)


def awaited(worker: WorkerProcess, away: Away, documented: Mapping[Away, Row]) -> Row:
    """Wait until a worker says what stands on the page."""
    last = row(worker)

    def is_as_documented() -> bool:
        nonlocal last
        last = row(worker)
        return last == documented.get(away)

    wait_until(
        is_as_documented,
        f"with {sorted(away)} away, the worker says what {PAGE.name} says",
        also=lambda: f"there: {documented.get(away)}\nsaid:  {last}",
    )
    return last


def settled(worker: WorkerProcess) -> Row:
    """Return what a worker says once it says the same all the time."""
    before = None
    while (now := row(worker)) != before:
        before = now
        let_pass(SETTLED_SECONDS)
    return now


def row(worker: WorkerProcess) -> Row:
    return (*(cell(worker, probe) for probe in PROBES), answer(worker))


def cell(worker: WorkerProcess, probe: str) -> str:
    """Return what a probe says, in short."""
    status, told = worker.status(f"/health{probe}"), report(worker, probe)
    unwell = [
        name.removesuffix(":availability")
        for name, checks in told.get("checks", {}).items()
        if any(check["status"] != "pass" for check in checks)
    ]
    reasons = " ".join([told.get("output", ""), ", ".join(unwell)]).strip()
    return f"{status} {told['status']}" + (f": {reasons}" if reasons else "")


def answer(worker: WorkerProcess) -> str:
    """Return who answers an utterance, and whether others hear of it."""
    status, told = worker.classify(LABELS[0])
    return f"{status} by {told['result']['tier']}" + ("" if told["published"] else ", not published")


def report(worker: WorkerProcess, probe: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(worker.get(f"/health{probe}"))
    return told


def said(worker: WorkerProcess) -> str:
    return f"{worker.get('/health/dependencies')}\n{worker.get('/health/flags')}"


def page(seen: Mapping[Away, Row]) -> str:
    """Return the page, the fewest outages first."""
    head = ["away", *(f"`/health{probe}`" for probe in PROBES), "an utterance"]
    lines = [head, ["---"] * len(head)]
    lines += [[name_of(away), *seen[away]] for away in subsets()]
    return INTRODUCTION + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rows_in(page: str) -> dict[Away, Row]:
    """Return the rows of a page."""
    cells = {line[0]: tuple(line[1:]) for line in (each.strip("| ").split(" | ") for each in page.splitlines())}
    return {away: cells[name_of(away)] for away in subsets() if name_of(away) in cells}


def subsets() -> list[Away]:
    return [frozenset(each) for size in range(len(SERVERS) + 1) for each in combinations(SERVERS, size)]


def name_of(away: Away) -> str:
    return ", ".join(name for name in SERVERS if name in away) or "nothing"
