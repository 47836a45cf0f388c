"""Spans of a real worker, as a real collector gets them: from the producer's trace to the result, and no word of it."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

from schemas.record_headers import headers_of
from streams.api import CLASSIFY
from streams.topics import RESULTS
from tests.kit.collector import running_collector
from tests.kit.ledger import Ledger
from tests.kit.load import Record, publish
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    import pytest

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker

TRACED, UNSAMPLED, UNTRACED = 10, 3, 5
PLANTED = "planted zebra would like to call somebody"


def trace_id(number: int) -> str:
    return f"{0xABC000 + number:032x}"


def traceparent(number: int, flags: str) -> str:
    return f"00-{trace_id(number)}-{number + 1:016x}-{flags}"


def traceparents(ledger: Ledger) -> list[str]:
    """Return those of the results so far."""
    results = ledger.results_so_far()
    return [(dict(headers_of(result) or []).get("traceparent") or b"").decode() for result in results]


def record(number: int, flags: str | None) -> Record:
    value = json.dumps({"id": f"traced-{number}", "text": f"{PLANTED} {number}", "user_id": "planted-user"}).encode()
    headers = [] if flags is None else [("traceparent", traceparent(number, flags).encode())]
    return Record(value, f"k{number}".encode(), headers)


def test_an_utterance_can_be_followed_from_its_producer_to_its_result(
    broker: EmbeddedServer, new_worker: NewWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # OpenTelemetry's client goes by a proxy where there is one
    flags = ["01"] * TRACED + ["00"] * UNSAMPLED + [None] * UNTRACED
    with running_collector() as collector, Ledger(broker.endpoint) as ledger:
        worker = new_worker(TRACING__ENDPOINT=collector.url)
        worker.wait_until_ready()
        publish(broker.endpoint, [record(number, flag) for number, flag in enumerate(flags)])
        ledger.wait_for_answers(len(flags))
        wait_until(lambda: len(collector.spans("utterance")) >= TRACED, "the utterances' spans have come")
        said = traceparents(ledger)
        assert worker.terminate()[0] == 0  # which sends what is left

        utterances = {span.trace_id.hex(): span for span in collector.spans("utterance")}
        assert utterances.keys() == {trace_id(number) for number in range(TRACED)}
        for number in range(TRACED):
            assert utterances[trace_id(number)].parent_span_id.hex() == f"{number + 1:016x}"

        batches = {span.span_id: span for span in collector.spans("batch")}
        linked = {link.trace_id.hex() for batch in batches.values() for link in batch.links}
        assert linked == utterances.keys()
        for span in utterances.values():
            (batch,) = (batches[link.span_id] for link in span.links)
            own = [each for each in collector.spans() if each.parent_span_id == batch.span_id]
            assert {each.name for each in own} >= {"tier rules", "transaction"}
            assert all(each.trace_id == batch.trace_id for each in own)
            (transaction,) = (each for each in own if each.name == "transaction")
            assert span.end_time_unix_nano >= transaction.end_time_unix_nano >= batch.end_time_unix_nano

        continued = {f"{span.trace_id.hex()}-{span.span_id.hex()}" for span in utterances.values()}
        assert {each[3:-3] for each in said if each.endswith("-01")} == continued
        assert sum(each.endswith("-00") for each in said) == UNSAMPLED

        assert collector.services[0]["service.instance.id"] == worker.worker_id
        sent = b"".join(collector.requests)
        assert b"planted" not in sent
        assert b"zebra" not in sent
        assert "zebra" not in worker.log
        assert RESULTS.encode() not in sent  # where an utterance stood is said, and that is all


def test_a_request_over_http_can_be_followed_from_its_caller_to_its_result(
    broker: EmbeddedServer, new_worker: NewWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running_collector() as collector, Ledger(broker.endpoint) as ledger:
        worker = new_worker(TRACING__ENDPOINT=collector.url)
        worker.wait_until_ready()
        for number, flag in enumerate(["01"] * TRACED + ["00"] * UNSAMPLED):
            request = urllib.request.Request(
                f"http://127.0.0.1:{worker.port}{CLASSIFY}",
                record(number, flag).value,
                {"Content-Type": "application/json", "traceparent": traceparent(number, flag)},
            )
            with urllib.request.urlopen(request) as answer:  # noqa: S310 - likewise
                assert json.load(answer)["published"]
        wait_until(lambda: len(ledger.results_so_far()) >= TRACED + UNSAMPLED, "the results have come")
        said = [
            (dict(headers_of(result) or []).get("traceparent") or b"").decode() for result in ledger.results_so_far()
        ]
        assert worker.terminate()[0] == 0

    requests = {span.trace_id.hex(): span for span in collector.spans("POST")}
    batches = {span.span_id: span for span in collector.spans("batch")}
    assert requests.keys() == {trace_id(number) for number in range(TRACED)}
    for number in range(TRACED):
        span = requests[trace_id(number)]
        assert span.parent_span_id.hex() == f"{number + 1:016x}"
        (batch,) = (batches[link.span_id] for link in span.links)
        assert [link.span_id for link in batch.links] == [span.span_id]
        below = {each.name for each in collector.spans() if each.parent_span_id in {batch.span_id, span.span_id}}
        assert below >= {"tier rules", "publication"}
    continued = {f"{span.trace_id.hex()}-{span.span_id.hex()}" for span in requests.values()}
    assert {each[3:-3] for each in said if each.endswith("-01")} == continued
    assert sum(each.endswith("-00") for each in said) == UNSAMPLED
    sent = b"".join(collector.requests)
    assert b"planted" not in sent
    assert b"zebra" not in sent
    assert "zebra" not in worker.log


def test_a_worker_whose_collector_is_away_answers_and_ends_all_the_same(
    broker: EmbeddedServer, new_worker: NewWorker
) -> None:
    worker = new_worker(TRACING__ENDPOINT="http://127.0.0.1:1")
    worker.wait_until_ready()
    with Ledger(broker.endpoint) as ledger:
        publish(broker.endpoint, [record(number, "01") for number in range(TRACED)])
        ledger.wait_for_answers(TRACED)
        ledger.account().check(TRACED)
    assert worker.terminate()[0] == 0
    assert "Traceback" not in worker.log
    assert "zebra" not in worker.log
