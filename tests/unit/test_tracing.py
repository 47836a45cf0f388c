"""Spans where they are wanted, nothing where they are not, and no word of an utterance in either."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from schemas.cloudevents import Received
from schemas.errors import InvalidSettingsError
from schemas.events import Attempt, Outcome, Utterance
from schemas.settings import Settings, Tracing
from streams.tracing import new_tracing
from tests.kit.collector import running_collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams import spans
    from tests.kit.collector import Collector

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # OpenTelemetry's client goes by a proxy where there is one
    with running_collector() as collector:
        yield collector


def tracing(collector: Collector, **settings: int) -> spans.Tracing:
    made = new_tracing(Settings(tracing=Tracing(endpoint=collector.url, **settings)))
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
