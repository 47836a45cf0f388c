"""`intentstream up`: everything one machine needs, started, fed with sample conversations, watched, and stopped."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psutil

from infra.cli.live import Live
from infra.cli.preparing import Preparing
from infra.cli.samples import SamplePlayer
from infra.cli.screen import describe, open_screen
from infra.cli.session import begin
from infra.cli.stop_signals import StopSignals
from infra.cli.topics import DIFFERS
from infra.cli.utterance_producer import UtteranceProducer
from infra.cli.watch import Watch
from infra.cli.worker_process import WorkerProcess
from infra.embedded.broker_version import check_broker
from infra.embedded.ports import check_port, free_port
from infra.embedded.servers import EmbeddedServers
from schemas.errors import IntentStreamError
from streams.clients import admin_client
from streams.topics import FEEDBACK, RESULTS, UTTERANCES, Action, apply_topics

if TYPE_CHECKING:
    from infra.cli.screen import Screen
    from schemas.settings import Settings

_PUBLISH_SECONDS = 15.0


class TopicsDifferError(IntentStreamError):
    """The broker has what the settings ask us to take away: somebody must decide."""

    code = "topics_differ"
    exit_code = DIFFERS


@click.command
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=8.0,
    show_default=True,
    help="Sample utterances a second; 0 plays none.",
)
def command(*, rate: float) -> None:
    """Start everything and watch utterances become intents.

    Starts the embedded Kafka, Redis and Postgres where the settings name none, applies the topics, prepares the
    models, starts a worker and plays sample conversations through it. Ctrl-C stops all of it, and its data stays.
    """
    started = psutil.Process().create_time()
    settings = _with_known_port(begin())
    with StopSignals() as signals, open_screen() as screen:
        with contextlib.suppress(KeyboardInterrupt):  # that is how it is meant to end
            _run(settings, screen, signals, started=started, rate=rate)
        screen.say(f"Stopped after {_duration(time.time() - started)}; nothing is left running.")


def _run(settings: Settings, screen: Screen, signals: StopSignals, *, started: float, rate: float) -> None:
    with contextlib.ExitStack() as stack:
        try:
            _check_what_is_named(settings)
            preparing = stack.enter_context(Preparing(lambda said, share: screen.step("models", said, share)))
            servers = _start_servers(stack, settings, screen)
            _apply_topics(settings, screen)
            preparing.wait()
            worker = _start_worker(stack, settings, screen)
            watch = stack.enter_context(Watch(settings))
            screen.say(_where_to_look(settings, worker, servers))
            producer = UtteranceProducer(settings, timeout_seconds=_PUBLISH_SECONDS)
            player = SamplePlayer(producer, per_second=rate)
            live = Live(screen, watch, player, worker, servers, state_folder=settings.state_folder, started=started)
            stack.callback(lambda: screen.say(f"Stopping; in all {describe(watch.counts())}."))
            while True:
                live.tick()
        finally:
            signals.stopping()


def _check_what_is_named(settings: Settings) -> None:
    """Make sure of what can be known before anything is started."""
    check_port(settings.web.port, server="the worker's web server", setting="INTENTSTREAM_WEB__PORT")
    if settings.kafka.bootstrap_servers:
        check_broker(settings.kafka)
    settings.state_folder.mkdir(parents=True, exist_ok=True)


def _start_servers(stack: contextlib.ExitStack, settings: Settings, screen: Screen) -> EmbeddedServers:
    """Start what the settings do not name."""
    servers = EmbeddedServers(
        settings,
        on_progress=lambda name, message: screen.step(name, message, 1.0 if message.startswith("ready") else None),
    )
    return stack.enter_context(servers)


def _apply_topics(settings: Settings, screen: Screen) -> None:
    """Bring the broker's topics in line.

    Raises:
        TopicsDifferError: That would lose something.
    """
    screen.step("topics", "applying")
    changes = apply_topics(admin_client(settings), settings.topics)
    refused = [str(change) for change in changes if change.action is Action.REFUSED]
    if refused:
        raise TopicsDifferError("These topics differ from the settings and were left alone:\n" + "\n".join(refused))
    screen.step("topics", f"{len(changes)} created or changed" if changes else "as they should be", 1.0)


def _start_worker(stack: contextlib.ExitStack, settings: Settings, screen: Screen) -> WorkerProcess:
    log_file = settings.state_folder / "worker.log"
    worker = stack.enter_context(WorkerProcess(settings, log_file=log_file, say=screen.say))
    worker.wait_until_ready(lambda said: screen.step("worker", said))
    screen.step("worker", "ready", 1.0)
    return worker


def _where_to_look(settings: Settings, worker: WorkerProcess, servers: EmbeddedServers) -> str:
    web = f"http://127.0.0.1:{settings.web.port}"
    logs = [_from_here(log) for log in (worker.log_file, *(server.log_file for server in servers.servers))]
    us = "intentstream" if shutil.which("intentstream") else sys.argv[0]
    return f"""
Where to look
  console   {web}/
  health    {web}/health   {web}/health/ready
  metrics   {web}/metrics
  ask it    curl -s {web}/api/v1/intents/classify -H 'content-type: application/json' \\
              -d '{{"text": "where is my parcel?", "user_id": "me"}}'
  topics    {UTTERANCES}  {RESULTS}  {FEEDBACK}  on {settings.kafka_servers}
  follow    {us} tail results
  publish   echo "where is my parcel?" | {us} produce
  logs      {"  ".join(logs)}
"""


def _from_here(path: Path) -> str:
    """Return a path as a person in this folder would type it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _with_known_port(settings: Settings) -> Settings:
    """Choose the web port where any free one will do, so that we know where to ask."""
    if settings.web.port:
        return settings
    return settings.model_copy(update={"web": settings.web.model_copy(update={"port": free_port()})})


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
