"""The HTTP routes that classify: the same decision as the stream's, answered at once and published as well."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs, web

from schemas.cloudevents import decode_utterance
from schemas.errors import InvalidRequestError, UnavailableError
from schemas.events import Result  # noqa: TC001 - msgspec reads it from here
from streams.batches import ANY_PARTITION
from streams.results import encode_result, result_of, timestamp, timings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.cloudevents import Headers, Received
    from schemas.settings import Intake
    from streams.batcher import Batcher
    from streams.classify import ClassifyObserver
    from streams.publisher import Publisher
    from streams.reviews import Reviews
    from streams.spans import RequestSpan, Tracing

CLASSIFY = "/api/v1/intents/classify"


class Classified(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a request to classify.

    Attributes:
        result: As on the results topic.
        published: Whether the broker has it.
        not_published_because: Why not.
    """

    result: Result
    published: bool
    not_published_because: str | None = None


class ClassifyRoute:
    """`POST /api/v1/intents/classify`: an utterance as JSON in, its result out; `?publish=false` tries it out.

    Args:
        batcher: What turns utterances into answers.
        publisher: Who puts results on the results topic.
        settings: Limits of an utterance.
        reviews: Whom people are asked about.
        observer: Who counts.
        broker_reachable: Whether publishing is worth a try; must not wait.
        tracing: Makes spans, if anybody does.
    """

    def __init__(
        self,
        *,
        batcher: Batcher,
        publisher: Publisher,
        settings: Intake,
        reviews: Reviews,
        observer: ClassifyObserver,
        broker_reachable: Callable[[], bool],
        tracing: Tracing | None = None,
    ) -> None:
        self._batcher = batcher
        self._publisher = publisher
        self._settings = settings
        self._reviews = reviews
        self._observer = observer
        self._broker_reachable = broker_reachable
        self._tracing = tracing

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""
        return [web.post(CLASSIFY, self._classify)]

    async def _classify(self, request: web.Request) -> web.Response:
        came = time.time()
        received = decode_utterance(
            await request.read(),
            _event_headers_of(request),
            f"http/{uuid.uuid4()}",
            max_text_characters=self._settings.max_text_characters,
        )
        wanted = _publish_wanted(request)
        span = None if self._tracing is None else self._tracing.begin_request(received, CLASSIFY, came)
        if span is None:
            answer = await self._answer(received, None, publish=wanted)
        else:
            with span.open():
                answer = await self._answer(span.received, span, publish=wanted)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def _answer(self, received: Received, span: RequestSpan | None, *, publish: bool) -> Classified:
        begun = time.time()
        decision = await self._batcher.decide(received, span)
        queued = max(0.0, time.time() - begun - decision.classify_seconds)
        result = result_of(received, decision, timings_of(decision, queue_seconds=queued), None)
        self._observer.answered([result])
        if span is not None:
            span.answered(result)
        if not publish:
            return Classified(result=result, published=False, not_published_because="Nobody wanted it to be.")
        begun = time.time()
        obstacle = await self._publish(result, received, decision.review_below)
        if span is not None:
            span.published(begun, well=obstacle is None)
        return Classified(result=result, published=obstacle is None, not_published_because=obstacle)

    async def _publish(self, result: Result, received: Received, review_below: float | None) -> str | None:
        """Publish a result, and a review request where people should look; return why that failed."""
        if not self._broker_reachable():
            return "The broker is away."
        now = time.time()
        records = [encode_result(result, received, None, ANY_PARTITION, timestamp(now))]
        review = self._reviews.ask(result, received, now, below=review_below)
        if review is not None and self._reviews.may_wait:
            records += await asyncio.to_thread(self._reviews.encode, [(review, received)], timestamp(now))
        elif review is not None:
            records += self._reviews.encode([(review, received)], timestamp(now))
        try:
            await self._publisher.publish(records)
        except UnavailableError as error:
            return str(error)
        return None


def _publish_wanted(request: web.Request) -> bool:
    """Say whether the result is to be published, as it is unless the query says otherwise.

    Raises:
        InvalidRequestError: The query says neither.
    """
    said = request.query.get("publish", "true")
    if said not in {"true", "false"}:
        raise InvalidRequestError("publish is true or false, or left out.")
    return said == "true"


def _event_headers_of(request: web.Request) -> Headers:
    """Return what a request's headers say of the event, as a record's headers would."""
    wanted = {"content-type": request.headers.get(hdrs.CONTENT_TYPE, "application/json")}
    if "traceparent" in request.headers:
        wanted["traceparent"] = request.headers["traceparent"]
    return [(name, value.encode(errors="surrogateescape")) for name, value in wanted.items()]  # the bytes as they came
