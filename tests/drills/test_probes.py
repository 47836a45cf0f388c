"""How long probes take to answer while a worker has more to do than it can: measured and shown.

`DRILL_PROBE_SECONDS` says for how long they are asked, 10 unless it is set.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import numpy as np
import pytest

from infra.chaos.utterances import distinct
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.load import our_texts, publish, utterances
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from tests.drills.conftest import Show

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

SECONDS = float(os.environ.get("DRILL_PROBE_SECONDS", "10"))
APART_SECONDS = 0.005
PROBES = ("", "/live", "/ready", "/startup", "/models", "/dependencies", "/flags")
BACKLOG = 1_000_000


def test_probes_answer_while_a_worker_has_more_to_do_than_it_can(
    prepared_models: Path, tmp_path: Path, show: Show
) -> None:
    with running_broker(tmp_path / "broker") as broker:
        create_our_topics(broker.endpoint)
        publish(broker.endpoint, utterances(BACKLOG, distinct(our_texts())))
        with WorkerProcess(broker.endpoint, state_folder=prepared_models, log_file=tmp_path / "worker.log") as worker:
            worker.wait_until_loaded()
            before, begun = worker.metric("intentstream_events_out_total"), time.monotonic()
            took = asked(worker.port)
            rate = (worker.metric("intentstream_events_out_total") - before) / (time.monotonic() - begun)
            assert worker.metric("intentstream_lag_messages") > 0, "it had nothing to do at the end"
    everything = [seconds for times in took.values() for seconds in times]
    slowest = ", ".join(f"/health{probe} {milliseconds(times, 99)}" for probe, times in took.items())
    show(
        f"{len(everything)} asked beside {rate:,.0f} answers/s: p50 {milliseconds(everything, 50)}, "
        f"p99 {milliseconds(everything, 99)}, longest {milliseconds(everything, 100)} ms; p99 each: {slowest}"
    )


def asked(port: int) -> dict[str, list[float]]:
    """Ask one probe after another on one connection; return how many seconds each answer took."""
    took: dict[str, list[float]] = {probe: [] for probe in PROBES}
    pause, until = threading.Event(), time.monotonic() + SECONDS
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        for probe in itertools.cycle(PROBES):
            begun = time.perf_counter()
            connection.request("GET", f"/health{probe}")
            answer = connection.getresponse()
            answer.read()
            took[probe].append(time.perf_counter() - begun)
            assert answer.status == 200, probe
            if time.monotonic() > until:
                return took
            pause.wait(APART_SECONDS)
    return took


def milliseconds(times: list[float], percentile: float) -> str:
    return f"{1000 * np.percentile(times, percentile):.1f}"
