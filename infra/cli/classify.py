"""`intentstream classify`: one text's intent, from a chain in this process or from a running worker."""

from __future__ import annotations

import asyncio
import os
import time
import urllib.error
import urllib.request
import uuid
from typing import TYPE_CHECKING

import click
import msgspec

from flags.environment import read_overrides
from flags.evaluation import Snapshot
from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from models.catalogue import default_catalogue_path, load_catalogue
from models.classifier import Classifier
from models.serving import Serving
from schemas.cloudevents import decode_utterance
from schemas.errors import InvalidEventError, UnavailableError
from schemas.events import Result, Source, Timings, Utterance
from schemas.problem import Problem
from streams.decide import FlaggedClassifier
from streams.results import result_of

if TYPE_CHECKING:
    from schemas.settings import Settings

_HTTP_SECONDS = 30.0


class _Classified(msgspec.Struct):
    """What a worker answers."""

    result: Result


@click.command
@click.argument("text")
@click.option("--user-id", help="Who says it; flags may depend on it.")
@click.option("--url", help="Ask the worker that serves here, such as http://127.0.0.1:8001.")
@json_option
def command(*, text: str, user_id: str | None, url: str | None, as_json: bool) -> None:
    """Say which intent a text has.

    Without --url in this process, with the same chain as a worker's: no broker and no Redis is asked.
    """
    settings = begin()
    utterance = Utterance(text=_decoded(text), user_id=user_id, id=f"cli/{uuid.uuid4()}")
    result = _ask(url, utterance) if url else asyncio.run(_classify(settings, utterance))
    if as_json:
        print_json(result)
        return
    click.echo(f"{result.intent or '(out of scope)'}  {result.confidence:.2f}  {result.tier}")
    for alternative in result.alternatives:
        click.echo(f"  {alternative.intent or '(out of scope)'}  {alternative.confidence:.2f}")
    for attempt in result.tried:
        reason = f": {attempt.reason}" if attempt.reason else ""
        click.echo(f"  {attempt.tier} {attempt.outcome.value} in {attempt.seconds * 1000:.1f} ms{reason}")


def _decoded(argument: str) -> str:
    """Return an argument as UTF-8, whatever the locale; Python keeps bytes that it cannot read as surrogates."""
    try:
        return os.fsencode(argument).decode()
    except UnicodeError as error:
        raise click.UsageError("TEXT is not UTF-8.") from error


async def _classify(settings: Settings, utterance: Utterance) -> Result:
    """Classify as a worker does, the models made first where they are missing."""
    catalogue = load_catalogue(settings.models.catalogue or default_catalogue_path())
    flags = Snapshot(read_overrides(os.environ))
    source = Source(topic="cli", partition=0, offset=0)
    limit = settings.intake.max_text_characters
    received = decode_utterance(msgspec.json.encode(utterance), None, source, max_text_characters=limit)
    async with Classifier(settings, catalogue, share=False) as classifier:
        await classifier.loaded()
        begun = time.time()
        decisions = await FlaggedClassifier(Serving(classifier), lambda: flags).decide([received])
    timings = Timings(queue_seconds=0.0, classify_seconds=time.time() - begun)
    return result_of(received, decisions[0], timings, None)


def _ask(url: str, utterance: Utterance) -> Result:
    """Have a worker classify, and publish the result as it does.

    Raises:
        InvalidEventError: It refuses the utterance.
        UnavailableError: Nobody answers there, or not as a worker does.
    """
    if not url.startswith(("http://", "https://")):
        raise click.UsageError("--url begins with http:// or https://.")
    request = urllib.request.Request(  # noqa: S310 - its scheme was looked at
        f"{url.rstrip('/')}/api/v1/intents/classify",
        data=msgspec.json.encode(utterance),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_HTTP_SECONDS) as answer:  # noqa: S310 - its scheme was looked at
            return msgspec.json.decode(answer.read(), type=_Classified).result
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise _refused(url, refusal.code, refusal.read()) from refusal
    except (OSError, msgspec.DecodeError) as error:
        raise UnavailableError(f"No worker answers at {url} ({error}); start one with `intentstream up`.") from error


def _refused(url: str, status: int, body: bytes) -> InvalidEventError | UnavailableError:
    try:
        reason = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:  # no worker of ours, or something before it
        return UnavailableError(f"What answers at {url} says {status} and is no worker.")
    if status < 500:  # noqa: PLR2004 - the first of HTTP's codes for faults of the server
        return InvalidEventError(reason.code, reason.detail)
    return UnavailableError(reason.detail)
