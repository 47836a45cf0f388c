"""A real worker, with its broker away: when it answers, when all of it does, and how much memory it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil
import yaml

from infra.asking import ask
from infra.embedded.ports import free_port
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from models.catalogue import Catalogue

_START_SECONDS = 180.0
_POLL_SECONDS = 0.02
_ASKED = 500


class Start(NamedTuple):
    """How a worker began.

    Attributes:
        rules_seconds: From the process's start until its rules can answer.
        all_seconds: To when every tier answers.
        peak_memory_mb: The most that it ever had resident, after it has answered some hundred texts.
    """

    rules_seconds: float
    all_seconds: float
    peak_memory_mb: float


def measure_start(state: Path, catalogue: Catalogue, texts: Sequence[str], scratch: Path, *, tuned: bool) -> Start:
    """Start a worker whose models are prepared, and stop it.

    Args:
        state: Its state folder.
        catalogue: Its intents.
        texts: To be answered.
        scratch: For files of this run.
        tuned: Whether the fine-tuned tier is to answer, too.

    Raises:
        UnavailableError: It did not start.
    """
    file, port = scratch / "catalogue.yaml", free_port()
    file.write_text(_yaml(catalogue), "utf-8")
    nobody = f"127.0.0.1:{free_port()}"
    environment = os.environ | {
        "INTENTSTREAM_STATE_FOLDER": str(state.resolve()),
        "INTENTSTREAM_MODELS__CATALOGUE": str(file),
        "INTENTSTREAM_WEB__PORT": str(port),
        "INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS": nobody,
        "INTENTSTREAM_REDIS__URL": f"redis://{nobody}/0",
        "FEATURE_FLAG_QUALITY_MODE_ENABLED": "true",
    }
    log = scratch / "worker.log"
    begun = time.monotonic()
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli.main", "worker"], env=environment, stdout=said, stderr=said
        )
    try:
        # Not by asking: an answer waits for the broker, which is away, to be given up.
        rules = _until(lambda: "rules" in _healthy(port), begun, process, log)
        wanted = {"rules", "zero_shot"} | ({"distilbert"} if tuned else set())
        whole = _until(lambda: wanted <= _healthy(port), begun, process, log)
        for row in range(_ASKED):
            _classify(port, texts[row % len(texts)])
        peak = psutil.Process(process.pid).memory_full_info()
        return Start(rules, whole, _peak_mb(process.pid, peak.rss))
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(happened: Callable[[], bool], begun: float, process: subprocess.Popen[bytes], log: Path) -> float:
    while not happened():
        if process.poll() is not None or time.monotonic() - begun > _START_SECONDS:
            raise UnavailableError(f"The worker did not start: {log.read_text(errors='replace').strip()[-500:]}")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - begun


def _classify(port: int, text: str) -> bool:
    status, _ = ask(port, "POST", "/api/v1/intents/classify", json.dumps({"text": text}).encode())
    return status == 200  # noqa: PLR2004 - OK


def _healthy(port: int) -> set[str]:
    """Return the tiers that can answer."""
    _, body = ask(port, "GET", "/metrics")
    lines = (line for line in body.decode().splitlines() if line.startswith("intent_classifier_model_health{"))
    return {line.split('"')[1] for line in lines if line.endswith(" 1.0")}


def _peak_mb(pid: int, resident: int) -> float:
    """Return the most megabytes ever resident; where the system does not tell, those of now."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:  # noqa: PTH123 - a file of the kernel's
            peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resident
    return peak / 1e6


def _yaml(catalogue: Catalogue) -> str:
    intents = [
        {"name": intent.name, "examples": list(intent.examples)}
        | ({"description": intent.description} if intent.description else {})
        for intent in catalogue.intents
    ]
    beyond = {"out_of_scope": list(catalogue.out_of_scope)} if catalogue.out_of_scope else {}
    return yaml.safe_dump({"name": catalogue.name, "intents": intents} | beyond, allow_unicode=True)
