"""Structured logs on standard error: one event a line, with a stable name, whoever logged it.

The standard library's loggers (Faust, mode, aiohttp, librdkafka through its logger) end in the same place as ours.
What a user wrote never does: an exception is logged by its type and where it came from, and its message only if that
is made by us, by Kafka or by the operating system.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Literal, TextIO

import structlog
from confluent_kafka import KafkaException

from schemas.errors import IntentStreamError

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

_SPEAKABLE = (IntentStreamError, KafkaException, OSError)
"""Exceptions whose messages cannot hold what a user wrote."""

_CHATTY = ("aiohttp.access", "aiokafka", "asyncio", "kafka")
"""Loggers that say at INFO, for each request or each poll, what metrics say better."""

_REPEATING = ("intentstream.librdkafka", "aiohttp.server")
"""Loggers that others make speak: a broker that is away, some hundred times a second; whoever sends what is no HTTP."""

_REPEAT_SECONDS = 10.0
"""How often each kind of their lines is logged."""


def configure_logging(
    *, level: str, style: Literal["auto", "json", "text"], worker_id: str, stream: TextIO | None = None
) -> logging.Handler:
    """Send every log line of this process through one handler.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        style: `auto` is text on a terminal, else JSON.
        worker_id: Stands in every line.
        stream: Where lines go; left out: standard error.

    Returns:
        The root logger's only handler, for a framework that insists on setting up logging itself.
    """
    stream = stream or sys.stderr
    text = style == "text" or (style == "auto" and stream.isatty())
    renderer: Processor = structlog.dev.ConsoleRenderer(colors=False) if text else structlog.processors.JSONRenderer()
    shared = _shared_processors(worker_id)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_is_an_event)
    handler.addFilter(_Once(_REPEAT_SECONDS))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))
    logging.captureWarnings(capture=True)
    return handler


class _Once(logging.Filter):
    """Lets each kind of a repeating logger's lines through once in a while, with how many were kept back since."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether to log a record."""
        if record.name not in _REPEATING:
            return True
        kind = record.name, record.getMessage().split(" ", 1)[0]
        last, kept_back = self._kinds.get(kind, (0.0, 0))
        if last and record.created - last < self._seconds:
            self._kinds[kind] = last, kept_back + 1
            return False
        self._kinds[kind] = record.created, 0
        if kept_back:
            record.msg = f"{record.getMessage()} ({kept_back} like it since the last)"
            record.args = ()
        return True


def _is_an_event(record: logging.LogRecord) -> bool:
    """Keep back what has no stable name and no use: mode's `[^--Service]: Starting...`, ONNX's lines to the root."""
    return record.levelno > logging.INFO or not (str(record.msg).startswith("[^") or record.name == "root")


def describe_fault(error: BaseException) -> dict[str, object]:
    """Return what may be logged of an exception: its type, where it came from, its message if that is safe."""
    fault: dict[str, object] = {
        "error": f"{type(error).__module__}.{type(error).__qualname__}",
        "error_stack": [
            f"{frame.f_globals.get('__name__', '?')}:{line} {frame.f_code.co_name}"
            for frame, line in traceback.walk_tb(error.__traceback__)
        ],
    }
    if isinstance(error, _SPEAKABLE):
        fault["error_message"] = str(error)
    return fault


def _shared_processors(worker_id: str) -> list[Processor]:
    """Return what is done to a line of ours and to one of the standard library's."""

    def add_worker(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["worker"] = worker_id
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_worker,
        _describe_exception,
    ]


def _describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put what may be said of an exception in place of its traceback."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event.update(describe_fault(error))
    return event
