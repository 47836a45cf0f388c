"""Every line of a worker's log is one structured event, whoever logged it, and holds nothing a user wrote."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from health.logs import configure_logging
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = "planted words of a user"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    handlers, level = list(logging.root.handlers), logging.root.level
    logging.getLogger("intentstream.librdkafka").setLevel(logging.NOTSET)  # commands run in this process quieten it
    yield
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logging(level="INFO", style="json", worker_id="worker-1", stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_of_ours_is_one_json_object(stream: io.StringIO) -> None:
    structlog.get_logger("streams.intake").info("batch_committed", events=7)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "batch_committed",
        "events": 7,
        "level": "info",
        "logger": "streams.intake",
        "worker": "worker-1",
    }


def test_the_standard_library_ends_in_the_same_place(stream: io.StringIO) -> None:
    logging.getLogger("faust.app").warning("Rebalance of %s", "t")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("Rebalance of t", "faust.app", "warning")
    assert line["worker"] == "worker-1"


def test_what_is_bound_to_the_context_is_in_every_line(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(batch="b1"):
        structlog.get_logger().info("batch_committed")
        logging.getLogger("faust").warning("late")
    assert [line["batch"] for line in lines(stream)] == ["b1", "b1"]


def test_what_is_below_the_level_is_not_said(stream: io.StringIO) -> None:
    structlog.get_logger().debug("batch_fetched")
    logging.getLogger("aiohttp.access").info("GET /")
    assert lines(stream) == []


def raise_and_log(error: Exception) -> None:
    try:
        raise error
    except type(error):
        structlog.get_logger().exception("chain_failed")
        logging.getLogger("faust").exception("crashed")


def test_an_exception_is_named_without_what_it_says(stream: io.StringIO) -> None:
    raise_and_log(ValueError(WORDS))
    assert WORDS not in stream.getvalue()
    for line in lines(stream):
        assert line["error"] == "builtins.ValueError"
        assert line["error_stack"][-1].split(":")[0].endswith("test_health_logs")


def test_an_exception_of_ours_may_speak(stream: io.StringIO) -> None:
    raise_and_log(UnavailableError("Redis is away."))
    assert [line["error_message"] for line in lines(stream)] == ["Redis is away.", "Redis is away."]


def test_text_is_for_people() -> None:
    stream = io.StringIO()
    configure_logging(level="INFO", style="text", worker_id="worker-1", stream=stream)
    structlog.get_logger().info("batch_committed", events=7)
    raise_and_log(ValueError(WORDS))
    assert WORDS not in stream.getvalue()
    assert "batch_committed" in stream.getvalue()
    assert "events=7" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_what_is_no_terminal_gets_json() -> None:
    stream = io.StringIO()
    configure_logging(level="INFO", style="auto", worker_id="worker-1", stream=stream)
    structlog.get_logger().info("batch_committed")
    assert lines(stream)[0]["event"] == "batch_committed"


@pytest.mark.parametrize("name", ["intentstream.librdkafka", "aiohttp.server"])
def test_what_others_make_a_library_repeat_is_kept_back_and_counted(stream: io.StringIO, name: str) -> None:
    logger = logging.getLogger(name)
    for second in (0, 1, 2, 11):
        record = logger.makeRecord(logger.name, logging.ERROR, "", 0, "FAIL [thrd:a] connection refused", (), None)
        record.created = 1_000.0 + second
        logger.handle(record)
    said = [line["event"] for line in lines(stream)]
    assert said == ["FAIL [thrd:a] connection refused", "FAIL [thrd:a] connection refused (2 like it since the last)"]


def test_another_kind_of_line_from_librdkafka_is_not_kept_back(stream: io.StringIO) -> None:
    logger = logging.getLogger("intentstream.librdkafka")
    logger.error("FAIL [thrd:a] connection refused")
    logger.error("SESSTMOUT [thrd:main] session timed out")
    assert len(lines(stream)) == 2


def test_what_others_say_without_a_name_is_no_event_of_ours(stream: io.StringIO) -> None:
    logging.getLogger("mode.services").info("[^-Intake]: Starting...")
    logging.getLogger().info("get_tensor_type returns DefaultTensorType")
    logging.getLogger("mode.services").warning("[^-Intake]: something is wrong")
    assert [line["level"] for line in lines(stream)] == ["warning"]
