"""What a worker needs, checked one thing at a time; each finding says what to do where something is wrong."""

from __future__ import annotations

import asyncio
import enum
import os
import sys
import tempfile
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import msgspec
import psutil

from flags.environment import read_overrides
from health.dependencies import PostgresDependency, RedisDependency
from infra.embedded.broker_version import check_broker
from infra.embedded.disk import check_disk
from infra.embedded.java import find_java, find_maven
from infra.embedded.ports import answers, check_port
from models.catalogue import default_catalogue_path, load_catalogue
from models.catalogue_check import check_catalogue
from models.preparation import Preparation
from schemas.errors import IntentStreamError, UnavailableError
from streams.clients import admin_client
from streams.topics import TOPICS, Action, apply_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from health.checks import Dependency
    from schemas.settings import Settings

_ENOUGH_MEMORY_BYTES = 1_000_000_000
_OLDEST, _NEWEST, _NEWEST_EMBEDDED = (3, 11), (3, 13), (3, 12)
_DEADLINE_SECONDS = 5.0
_START = "`intentstream up` starts it"


class Verdict(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found, in a sentence; unless all is well, that sentence says what to do."""

    check: str
    verdict: Verdict
    said: str


def diagnose(settings: Settings) -> Iterator[Finding]:
    """Check everything, one after another; none of the checks changes anything that stays."""
    for name, check in _CHECKS.items():
        try:
            verdict, said = check(settings)
        except IntentStreamError as error:
            verdict, said = Verdict.FAULT, str(error)
        yield Finding(check=name, verdict=verdict, said=said)


_Found = tuple[Verdict, str]


def _python(settings: Settings) -> _Found:
    version = sys.version_info[:2]
    said = f"Python {sys.version.split()[0]}"
    if not _OLDEST <= version <= _NEWEST:
        return Verdict.FAULT, f"{said} is not one we run on: use 3.11 or 3.12."
    if version > _NEWEST_EMBEDDED and not (settings.redis.url and settings.postgres.dsn):
        return Verdict.WARNING, f"{said} has no embedded Redis and Postgres: name yours, or use 3.12."
    return Verdict.OK, f"{said}."


def _flags(_settings: Settings) -> _Found:
    overrides = read_overrides(os.environ)
    return Verdict.OK, f"{len(overrides)} set by the environment."


def _state_folder(settings: Settings) -> _Found:
    folder = settings.state_folder.resolve()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Verdict.FAULT, f"{existing} cannot be written to ({error.strerror}): set INTENTSTREAM_STATE_FOLDER."
    check_disk(existing)
    return Verdict.OK, f"{folder} is writable and has room."


def _memory(_settings: Settings) -> _Found:
    available = psutil.virtual_memory().available
    said = f"{available / 1e9:.1f} GB are available"
    if available < _ENOUGH_MEMORY_BYTES:
        return Verdict.WARNING, f"{said}; broker, worker and models take about 1 GB: end something else first."
    return Verdict.OK, f"{said}."


def _java(settings: Settings) -> _Found:
    if settings.kafka.bootstrap_servers:
        return Verdict.OK, "not needed: a broker is named."
    java = find_java()
    if any((settings.state_folder / "jars").glob("kafka-*.classpath")):
        return Verdict.OK, f"{java}; Kafka is already there."
    return Verdict.OK, f"{java}; {find_maven()} will download Kafka once."


def _broker(settings: Settings) -> _Found:
    if not settings.kafka.bootstrap_servers and not answers(settings.embedded.kafka_port):
        return Verdict.WARNING, f"The embedded broker is not running; {_START}."
    _check_broker(settings)
    return Verdict.OK, f"{settings.kafka_servers} answers and is new enough."


def _check_broker(settings: Settings) -> None:
    check_broker(settings.kafka.model_copy(update={"bootstrap_servers": settings.kafka_servers}))


def _topics(settings: Settings) -> _Found:
    try:
        _check_broker(settings)
    except IntentStreamError:  # said by the check of the broker; asking for topics would only take longer
        return Verdict.WARNING, "Not known while the broker cannot be asked."
    changes = apply_topics(admin_client(settings), settings.topics, dry_run=True)
    refused = [str(change) for change in changes if change.action is Action.REFUSED]
    if refused:
        return Verdict.FAULT, f"{'; '.join(refused)}."
    if changes:
        return Verdict.WARNING, f"{len(changes)} differences; `intentstream topics apply` mends them."
    return Verdict.OK, f"All {len(TOPICS)} are as they should be."


def _redis(settings: Settings) -> _Found:
    return _ask(RedisDependency(settings.redis_url), embedded=settings.redis.url is None)


def _postgres(settings: Settings) -> _Found:
    return _ask(PostgresDependency(settings.postgres_dsn), embedded=settings.postgres.dsn is None)


def _ask(dependency: Dependency, *, embedded: bool) -> _Found:
    """Ask a server that a worker can do without, at a price."""

    async def ask() -> str | None:
        try:
            return await asyncio.wait_for(dependency.ask(), _DEADLINE_SECONDS)
        finally:
            await dependency.close()

    try:
        version = asyncio.run(ask())
    except (UnavailableError, TimeoutError) as error:
        what = f"The embedded one is not running; {_START}" if embedded else f"{error or 'No answer'}: start or mend it"
        return Verdict.WARNING, f"{what}. Utterances are answered without it."
    return Verdict.OK, f"version {version or 'unknown'} answers."


def _ports(settings: Settings) -> _Found:
    """Look at those on which something of ours is to listen and does not yet."""
    web = settings.web.port
    if web and answers(web):
        if not _is_worker(web):
            check_port(web, server="the worker's web server", setting="INTENTSTREAM_WEB__PORT")
        return Verdict.OK, f"A worker of ours serves on {web}."
    if web:
        check_port(web, server="the worker's web server", setting="INTENTSTREAM_WEB__PORT")
    return Verdict.OK, f"{web or 'any'} is free for the web server."


def _is_worker(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=_DEADLINE_SECONDS) as answer:
            return "health+json" in answer.headers.get("content-type", "")
    except (urllib.error.HTTPError, OSError):
        return False


def _catalogue(settings: Settings) -> _Found:
    path = settings.models.catalogue or default_catalogue_path()
    if not path.is_file():
        return Verdict.FAULT, f"{path} is no file: mend INTENTSTREAM_MODELS__CATALOGUE."
    findings = check_catalogue(path)
    errors = sum(finding.severity == "error" for finding in findings)
    advice = f"`intentstream catalogue check {path}` shows them."
    if errors:
        return Verdict.FAULT, f"{errors} errors; {advice}"
    if findings:
        return Verdict.WARNING, f"{len(findings)} warnings; {advice}"
    return Verdict.OK, f"{path} is sound."


def _models(settings: Settings) -> _Found:
    preparation = Preparation(settings, load_catalogue(settings.models.catalogue or default_catalogue_path()))
    if preparation.missing():
        return Verdict.WARNING, "Not prepared yet: `intentstream prepare` does it, or the first worker."
    return Verdict.OK, "prepared."


_CHECKS: dict[str, Callable[[Settings], _Found]] = {
    "python": _python,
    "flags": _flags,
    "state folder": _state_folder,
    "memory": _memory,
    "catalogue": _catalogue,
    "models": _models,
    "java": _java,
    "broker": _broker,
    "topics": _topics,
    "redis": _redis,
    "postgres": _postgres,
    "ports": _ports,
}
