"""Spans where they are wanted, nothing where they are not, and no word of an utterance in either."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from health.metrics import Metrics
from health.middleware import protect
from models.answer import Answer
from schemas import settings
from schemas.cloudevents import Received
from schemas.errors import InvalidSettingsError
from schemas.events import Attempt, Outcome, Utterance
from schemas.settings import Settings, Tracing
from streams.api import CLASSIFY, ClassifyRoute
from streams.batcher import Batcher
from streams.observer import StreamObserver
from streams.results import Decision
from streams.reviews import Reviews
from streams.side_loop import SideDecider, SideLoop
from streams.tracing import new_tracing
from tests.kit.collector import running_collector
from tests.kit.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams import spans
    from streams.publisher import Publisher
    from tests.kit.collector import Collector

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # OpenTelemetry's client goes by a proxy where there is one
    with running_collector() as collector:
        yield collector


def tracing(collector: Collector, **limits: int) -> spans.Tracing:
    made = new_tracing(Settings(tracing=Tracing(endpoint=collector.url, **limits)))
    assert made
    return made


def received(traceparent: str | None = PARENT) -> Received:
    return Received(Utterance(id="u", text="planted"), traceparent)


def test_without_a_setting_none_is_made_and_the_extra_need_not_be_there() -> None:
    assert new_tracing(Settings()) is None
    code = (
        "import sys; sys.modules['opentelemetry'] = None; import streams.app; sys.exit('streams.spans' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_a_setting_without_the_extra_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streams.spans", None)
    with pytest.raises(InvalidSettingsError, match=r"intentstream\[tracing\]"):
        new_tracing(Settings(tracing=Tracing(endpoint="http://127.0.0.1:4318")))


def test_a_batch_that_nobody_traces_gets_no_span(collector: Collector) -> None:
    made = tracing(collector)
    assert made.begin([received(None), received(PARENT[:-2] + "00")]) is None
    made.tier_called(Attempt(tier="rules", outcome=Outcome.ANSWERED), 1)
    made.shut_down()
    assert collector.spans() == []


def test_so_many_of_a_batch_get_a_span_and_no_more(collector: Collector) -> None:
    made = tracing(collector, max_utterances=2)
    begun = made.begin([received(), received(None), received(), received()])
    assert begun
    assert [each.traceparent == PARENT for each in begun.utterances] == [False, False, False, True]
    made.shut_down()


def test_a_batch_that_fails_says_so_and_not_in_whose_words(collector: Collector) -> None:
    made = tracing(collector)
    begun = made.begin([received()])
    assert begun
    with pytest.raises(ValueError, match="planted"), begun.current():
        raise ValueError("planted")
    made.shut_down()
    assert {(span.name, span.status.code, span.status.message) for span in collector.spans()} == {
        ("batch", Status.STATUS_CODE_ERROR, "ValueError"),
        ("utterance", Status.STATUS_CODE_ERROR, "ValueError"),
    }
    assert b"planted" not in b"".join(collector.requests)


class Decider:
    """Answers by a tier that is called on another thread's loop, as a worker's are; or fails."""

    def __init__(self, made: spans.Tracing) -> None:
        self.made = made
        self.failure: Exception | None = None

    async def decide(self, utterances: Sequence[Received]) -> list[Decision]:
        if self.failure:
            raise self.failure
        self.made.tier_called(Attempt(tier="rules", outcome=Outcome.ANSWERED), len(utterances))
        answer = Answer(intent="greeting", confidence=1.0, alternatives=(), tier="rules", tried=(), degraded=False)
        return [Decision(answer, "adaptive", "release", 0) for _ in utterances]


class Web:
    """The route that classifies, as a worker serves it, and what came of it.

    Args:
        collector: Takes the spans.
        side: The loop on which is decided.
    """

    def __init__(self, collector: Collector, side: SideLoop) -> None:
        self.collector = collector
        self.made = tracing(collector)
        self.decider = Decider(self.made)
        self.outbox = Outbox()
        metrics = Metrics("1.2.3")
        observer = StreamObserver(metrics)
        self.app = web.Application()
        protect(self.app, metrics, settings.Web())
        route = ClassifyRoute(
            batcher=Batcher(SideDecider(self.decider, side), max_waiting=10, tracing=self.made),
            publisher=cast("Publisher", self.outbox),
            settings=settings.Intake(),
            reviews=Reviews(settings.Review(sample_share=0), 0.5, observer),
            observer=observer,
            broker_reachable=lambda: True,
            tracing=self.made,
        )
        self.app.add_routes(route.routes())

    async def ask(self, *parents: str | None, query: str = "") -> list[int]:
        """Ask once for each caller's span, all at once; return the statuses once all spans have come."""
        async with TestClient(TestServer(self.app)) as client:
            asked = [
                client.post(
                    f"{CLASSIFY}{query}", json={"text": "planted"}, headers={"traceparent": parent} if parent else {}
                )
                for parent in parents
            ]
            statuses = [response.status for response in await asyncio.gather(*asked)]
        await asyncio.to_thread(self.made.shut_down)
        assert b"planted" not in b"".join(self.collector.requests)
        return statuses

    @property
    def traceparents(self) -> list[str]:
        """Of the published results."""
        headers = [dict(record.headers or []) for record in self.outbox.published]
        return [(each.get("traceparent") or b"").decode() for each in headers]


@pytest.fixture
def served(collector: Collector) -> Iterator[Web]:
    side = SideLoop("decide")
    yield Web(collector, side)
    side.stop()


async def test_a_request_that_its_caller_traces_can_be_followed_to_its_publication(served: Web) -> None:
    assert await served.ask(PARENT) == [200]
    by_name = {span.name: span for span in served.collector.spans()}
    assert sorted(by_name) == ["POST /api/v1/intents/classify", "batch", "publication", "tier rules"]
    request, batch = by_name["POST /api/v1/intents/classify"], by_name["batch"]
    _, trace_id, parent_id, _ = PARENT.split("-")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (trace_id, parent_id)
    assert request.kind == Span.SPAN_KIND_SERVER
    assert [link.span_id for link in request.links] == [batch.span_id]
    assert [link.span_id for link in batch.links] == [request.span_id]
    assert (by_name["tier rules"].trace_id, by_name["tier rules"].parent_span_id) == (batch.trace_id, batch.span_id)
    assert by_name["publication"].parent_span_id == request.span_id
    assert request.end_time_unix_nano >= by_name["publication"].end_time_unix_nano
    assert served.traceparents == [f"00-{trace_id}-{request.span_id.hex()}-01"]


async def test_requests_that_nobody_traces_get_no_span_and_keep_what_they_brought(served: Web) -> None:
    unsampled = f"{PARENT[:-2]}00"
    assert await served.ask(None, unsampled) == [200, 200]
    assert served.collector.spans() == []
    assert sorted(served.traceparents) == ["", unsampled]


async def test_requests_decided_together_share_a_batch_that_links_to_those_that_are_traced(served: Web) -> None:
    await served.ask(PARENT, None, PARENT, None, PARENT)
    batches = served.collector.spans("batch")
    requests = {span.span_id for span in served.collector.spans("POST")}
    assert len(requests) == 3
    assert {link.span_id for batch in batches for link in batch.links} == requests


async def test_a_result_that_nobody_wanted_published_has_no_publication(served: Web) -> None:
    await served.ask(PARENT, query="?publish=false")
    assert served.collector.spans("publication") == []


async def test_a_result_that_could_not_be_published_says_so(served: Web) -> None:
    served.outbox.broken = True
    assert await served.ask(PARENT) == [200]
    (publication,) = served.collector.spans("publication")
    assert publication.status.code == Status.STATUS_CODE_ERROR


async def test_a_request_that_fails_says_so_and_not_in_whose_words(served: Web) -> None:
    served.decider.failure = ValueError("planted")
    assert await served.ask(PARENT) == [500]
    assert {(span.name, span.status.code, span.status.message) for span in served.collector.spans()} == {
        ("batch", Status.STATUS_CODE_ERROR, "ValueError"),
        ("POST /api/v1/intents/classify", Status.STATUS_CODE_ERROR, "ValueError"),
    }
