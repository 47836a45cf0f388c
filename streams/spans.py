"""Spans of OpenTelemetry: each utterance's in its producer's trace, and beside it those of what many have in common.

A batch answers utterances of many traces, so it is nobody's child: it has a trace of its own, in which its tiers and
its transaction are. It links to its utterances, and each of them to it; so it does where they came as requests over
HTTP. Nothing of a span is what somebody wrote.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from schemas.errors import IntentStreamError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.trace import Span, Tracer

    from schemas.cloudevents import Received
    from schemas.events import Attempt, Result
    from schemas.settings import Tracing as TracingSettings

_SEND_SECONDS = 2.0
_QUEUED_SPANS = 8_192
_SPANS_A_REQUEST = 512
_EVERY_MS = 1_000.0
_NANOSECONDS = 1_000_000_000


class Tracing:
    """Makes spans for those utterances whose producer traces them, and sends them to a collector in the background.

    Args:
        settings: Where to, and how many.
        worker_id: Who we are.
    """

    def __init__(self, settings: TracingSettings, *, worker_id: str) -> None:
        resource = Resource(
            {
                "service.name": "intentstream",
                "service.version": version("intentstream"),
                "service.instance.id": worker_id,
            }
        )
        # Whether a trace is sampled, its producer has decided.
        self._provider = TracerProvider(
            resource=resource,
            sampler=ALWAYS_ON,
            span_limits=SpanLimits(max_links=settings.max_utterances),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=f"{settings.endpoint}/v1/traces", timeout=_SEND_SECONDS)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=_QUEUED_SPANS,
                schedule_delay_millis=_EVERY_MS,
                max_export_batch_size=_SPANS_A_REQUEST,
            )
        )
        self._tracer = self._provider.get_tracer("intentstream")
        self._most = settings.max_utterances

    def begin(self, utterances: Sequence[Received]) -> BatchSpans | None:
        """Begin the spans of a batch; None where no producer traces any of it."""
        parents: dict[int, SpanContext] = {}
        for row, received in enumerate(utterances):
            if received.traceparent is not None and (parent := _sampled(received.traceparent)) is not None:
                parents[row] = parent
                if len(parents) == self._most:
                    break
        return BatchSpans(self._tracer, utterances, parents) if parents else None

    def begin_request(self, received: Received, route: str, begun: float) -> RequestSpan | None:
        """Begin the span of a request to classify; None where its caller does not trace it.

        Args:
            received: What it asks about.
            route: Where.
            begun: When it came, by Unix time.
        """
        parent = None if received.traceparent is None else _sampled(received.traceparent)
        return None if parent is None else RequestSpan(self._tracer, parent, received, route, begun)

    @contextmanager
    def deciding(self, requests: Sequence[RequestSpan], utterances: int) -> Iterator[None]:
        """Have what is called meanwhile, on whatever thread, be of one batch that answers these requests.

        Args:
            requests: Those of the batch that are traced; without any there is no span of it.
            utterances: How many are decided about.
        """
        if not requests:
            yield
            return
        batch = self._tracer.start_span(
            "batch",
            links=[Link(request.context) for request in requests],
            attributes={"messaging.batch.message_count": utterances},
        )
        for request in requests:
            request.decided_in(batch.get_span_context())
        try:
            with trace.use_span(batch, record_exception=False, set_status_on_exception=False):
                yield
        except BaseException as error:
            batch.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            batch.end()

    def tier_called(self, attempt: Attempt, texts: int) -> None:
        """Add a tier's call, which has just ended, to the batch that it was made for."""
        batch = trace.get_current_span()
        if not batch.is_recording():
            return
        now = time.time_ns()
        span = self._tracer.start_span(
            f"tier {attempt.tier}",
            start_time=now - int(attempt.seconds * _NANOSECONDS),
            attributes={
                "intentstream.tier": attempt.tier,
                "intentstream.outcome": attempt.outcome.value,
                "intentstream.texts": texts,
            },
        )
        span.end(now)

    def shut_down(self) -> None:
        """Send what is left, and make no more."""
        self._provider.shutdown()


class BatchSpans:
    """The spans of one batch, and of those of its utterances that are traced.

    Args:
        tracer: Makes spans.
        utterances: All of the batch.
        parents: The producers' spans, by the row of their utterance.

    Attributes:
        utterances: All of the batch, each with the trace that whatever comes of it belongs to.
    """

    def __init__(self, tracer: Tracer, utterances: Sequence[Received], parents: Mapping[int, SpanContext]) -> None:
        self._tracer = tracer
        self._batch = tracer.start_span(
            "batch",
            links=[Link(parent) for parent in parents.values()],
            attributes={"messaging.system": "kafka", "messaging.batch.message_count": len(utterances)},
        )
        beside = [Link(self._batch.get_span_context())]
        self._spans = {
            row: tracer.start_span(
                "utterance",
                context=trace.set_span_in_context(NonRecordingSpan(parent)),
                kind=SpanKind.CONSUMER,
                links=beside,
                attributes={"messaging.system": "kafka"},
            )
            for row, parent in parents.items()
        }
        self.utterances = [
            msgspec.structs.replace(received, traceparent=_traceparent(self._spans[row]))
            if row in self._spans
            else received
            for row, received in enumerate(utterances)
        ]

    @contextmanager
    def current(self) -> Iterator[None]:
        """Have what is called meanwhile, on whatever thread, be the batch's; should it fail, all of it ends here.

        Why it failed is not repeated, for it may be in the words of an utterance.
        """
        try:
            with trace.use_span(self._batch, record_exception=False, set_status_on_exception=False):
                yield
        except BaseException as error:
            for span in (*self._spans.values(), self._batch):
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                span.end()
            raise

    def answered(self, results: Sequence[Result]) -> None:
        """Say who answered; an utterance's span goes on until that is committed."""
        for row, span in self._spans.items():
            result = results[row]
            if result.source is not None:
                span.set_attributes(
                    {
                        "messaging.destination.name": result.source.topic,
                        "messaging.destination.partition.id": str(result.source.partition),
                        "messaging.kafka.offset": result.source.offset,
                    }
                )
            span.set_attributes(_of_answer(result))
        self._batch.end()

    def committed(self, seconds: float) -> None:
        """Add the transaction that committed the batch and took so long; everything of it is done."""
        now = time.time_ns()
        transaction = self._tracer.start_span(
            "transaction",
            context=trace.set_span_in_context(self._batch),
            kind=SpanKind.PRODUCER,
            start_time=now - int(seconds * _NANOSECONDS),
            attributes={"messaging.system": "kafka"},
        )
        transaction.end(now)
        for span in self._spans.values():
            span.end(now)


class RequestSpan:
    """The span of one request to classify.

    Args:
        tracer: Makes spans.
        parent: The caller's span.
        received: What is asked about.
        route: Where.
        begun: When the request came, by Unix time.

    Attributes:
        context: Of the span.
        received: What is asked about, with the trace that whatever comes of it belongs to.
    """

    def __init__(self, tracer: Tracer, parent: SpanContext, received: Received, route: str, begun: float) -> None:
        self._tracer = tracer
        self._span = tracer.start_span(
            f"POST {route}",
            context=trace.set_span_in_context(NonRecordingSpan(parent)),
            kind=SpanKind.SERVER,
            start_time=int(begun * _NANOSECONDS),
            attributes={"http.request.method": "POST", "http.route": route},
        )
        self.context = self._span.get_span_context()
        self.received = msgspec.structs.replace(received, traceparent=_traceparent(self._span))

    @contextmanager
    def open(self) -> Iterator[None]:
        """End it with what is done meanwhile, which the caller is answered after; why that failed is not repeated."""
        status: int = HTTPStatus.OK
        try:
            yield
        except BaseException as error:
            status = error.http_status if isinstance(error, IntentStreamError) else HTTPStatus.INTERNAL_SERVER_ERROR
            self._span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            self._span.set_attribute("http.response.status_code", int(status))
            self._span.end()

    def decided_in(self, batch: SpanContext) -> None:
        """Link it to the batch that answers it."""
        self._span.add_link(batch)

    def answered(self, result: Result) -> None:
        """Say who answered."""
        self._span.set_attributes(_of_answer(result))

    def published(self, begun: float, *, well: bool) -> None:
        """Add the publication of the result, which has just ended.

        Args:
            begun: When it was begun, by Unix time.
            well: Whether the broker has the result.
        """
        publication = self._tracer.start_span(
            "publication",
            context=trace.set_span_in_context(self._span),
            kind=SpanKind.PRODUCER,
            start_time=int(begun * _NANOSECONDS),
            attributes={"messaging.system": "kafka"},
        )
        if not well:
            publication.set_status(StatusCode.ERROR)
        publication.end()


def _of_answer(result: Result) -> dict[str, str | bool | float]:
    """Return what a span says of an answer."""
    return {
        "intentstream.tier": result.tier,
        "intentstream.strategy": result.strategy,
        "intentstream.cached": result.cached,
        "intentstream.degraded": result.degraded,
        "intentstream.queue_seconds": result.timings.queue_seconds,
    }


def _sampled(traceparent: str) -> SpanContext | None:
    """Return the span that a traceparent of W3C's shape names; None where its producer did not sample it."""
    _, trace_id, span_id, flags = traceparent.split("-")
    if not int(flags, 16) & TraceFlags.SAMPLED:
        return None
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
