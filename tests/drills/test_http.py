"""A worker's HTTP APIs under clients that nobody here wrote: a schema-driven fuzzer, and OpenFeature's own.

Each run is another seed (`DRILL_SEED`), so that more requests are more runs. `DRILL_REQUESTS` asks for more in one; but
of a flag's whole state the fuzzer makes but a few in a minute, once it has made the simple ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from infra.asking import ask
from tests.kit.command import run_command
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from openfeature.client import OpenFeatureClient

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.worker import WorkerProcess

pytestmark = [pytest.mark.drill, pytest.mark.timeout(3_600)]

REQUESTS = int(os.environ.get("DRILL_REQUESTS", "1500"))
COVERAGE_REQUESTS = 1_500
"""What the fuzzer tries systematically, whatever it is asked for; the rest is left to chance."""

FUZZER = Path(sys.executable).with_name("schemathesis")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)
PROTOCOLS_CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance")
"""Not the schema of the answers: there a value of any type is, by the letter, of two types at once."""

REFUSALS = '[checks.negative_data_rejection]\nexpected-statuses = ["4xx", "5xx"]\n'
"""What makes no sense may be refused for something else that is wrong with it: 408 where it comes slowly, 412."""

ANSWER_SECONDS = "60"
"""How long the fuzzer waits: to take up all dead letters of the drills again takes long on a machine that is busy."""

FLAGS = "/api/v1/feature-flags"
HUE = f"{FLAGS}/hue"
WHY = {"reason": "a drill", "changed_by": "tests"}
SECRET = "rita-rita-rita-rita-rita"  # noqa: S105 - opens nothing but this test's worker
TOKENS = json.dumps({"rita": {"secret": SECRET, "scopes": ["flags:read"]}})


@pytest.fixture
def worker(new_worker: NewWorker, postgres_server: EmbeddedServer) -> WorkerProcess:
    """One with a Postgres, for what is asked of that."""
    worker = new_worker(POSTGRES__DSN=postgres_server.endpoint)
    worker.wait_until_ready()
    worker.wait_for("/api/v1/results", 200, seconds=60)
    return worker


def fuzz(
    location: str, worker: WorkerProcess, folder: Path, chance: Random, *, checks: tuple[str, ...], cases: int
) -> dict[str, Any]:
    """Return the fuzzer's report."""
    report = folder / "report.json"
    (folder / "schemathesis.toml").write_text(REFUSALS)
    done = subprocess.run(
        [
            *(FUZZER, "run", location, "--url", f"http://127.0.0.1:{worker.port}"),
            *(
                "--phases",
                "examples,coverage,fuzzing",
                "--max-examples",
                str(cases),
                "--seed",
                str(chance.randrange(2**32)),
            ),
            *("--checks", ",".join(checks), "--continue-on-failure", "--no-shrink", "--warnings", "off"),
            *("--request-timeout", ANSWER_SECONDS),
            *("--workers", "1", "--report", "json", "--report-json-path", str(report)),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-2_000:]}"
    result: dict[str, Any] = json.loads(report.read_text())
    assert result["complete"]
    assert result["operations"]["tested"] == result["operations"]["total"]
    return result


def test_whatever_is_sent_is_answered_as_the_contract_says(
    worker: WorkerProcess, tmp_path: Path, chance: Random, show: Show
) -> None:
    contract = json.loads(worker.get("/openapi.json"))
    operations = [operation for path in contract["paths"].values() for operation in path.values()]
    varied = [each for each in operations if {"parameters", "requestBody"} & each.keys()]
    cases = max(10, (REQUESTS - COVERAGE_REQUESTS) // len(varied))
    report = fuzz(f"http://127.0.0.1:{worker.port}/openapi.json", worker, tmp_path, chance, checks=CHECKS, cases=cases)
    revision = json.loads(worker.get("/api/v1/feature-flags"))["revision"]
    assert worker.metric("intentstream_unexpected_errors_total") == 0
    assert revision > 0, "some of it changed flags"
    generated, seconds = report["test_cases"]["generated"], report["running_time"]
    made = f"{revision} changes of flags, 0 faults"
    show(f"{generated:,} requests to {len(operations)} operations in {seconds:.0f} s, {made}")


def test_remote_evaluation_answers_as_the_protocol_says(
    worker: WorkerProcess, tmp_path: Path, chance: Random, show: Show, conformance_folder: Path
) -> None:
    report = fuzz(
        str(conformance_folder / "ofrep-openapi.yaml"),
        worker,
        tmp_path,
        chance,
        checks=PROTOCOLS_CHECKS,
        cases=max(50, REQUESTS // 10),
    )
    show(f"{report['test_cases']['generated']:,} requests of the protocol's own document, 0 faults")


def test_a_flag_is_changed_everywhere_and_its_past_remembered(new_worker: NewWorker, broker: EmbeddedServer) -> None:
    one, other = new_worker("worker-1"), new_worker("worker-2")
    for worker in (one, other):
        worker.wait_until_ready()

    made = _answer(one, "PUT", f"{HUE}?wait=all&timeout_seconds=30", {"enabled": True} | WHY)
    assert (made["enabled"], made["applied"]) == (True, {"workers": 2, "missing": []})
    assert _answer(other, "GET", f"{FLAGS}/check/hue?user_id=u")["value"] is True

    changed = _answer(other, "PATCH", f"{HUE}?wait=all&timeout_seconds=30", {"killed": True} | WHY)
    assert changed["revision"] == made["revision"] + 1
    assert _answer(one, "GET", f"{FLAGS}/check/hue?user_id=u")["reason"] == "DISABLED"

    past = _answer(one, "GET", f"{FLAGS}/check/hue?user_id=u&at={made['revision']}")
    assert (past["value"], past["version"]) == (True, made["revision"])
    assert _answer(one, "GET", f"{FLAGS}/check/hue?user_id=u&at={made['changed_at']}") == past
    history = _answer(other, "GET", f"{HUE}/history")["changes"]
    assert [each["revision"] for each in history] == [changed["revision"], made["revision"]]
    assert {each["reason"] for each in history} == {WHY["reason"]}

    shown = run_command("flags", "get", "hue", "--json", KAFKA__BOOTSTRAP_SERVERS=broker.endpoint)
    assert json.loads(shown.stdout)["revision"] == changed["revision"]


def _answer(worker: WorkerProcess, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    status, answer = ask(worker.port, method, path, None if body is None else json.dumps(body).encode())
    assert status in {200, 201}, answer
    return json.loads(answer)


@pytest.fixture
def client(new_worker: NewWorker, broker: EmbeddedServer) -> Iterator[OpenFeatureClient]:
    """OpenFeature's client, asking a worker that wants a token, with flags of each type."""
    colours = [{"name": "red", "value": "#f00", "weight": 0}, {"name": "blue", "value": "#00f", "weight": 100}]
    numbers = [{"name": "few", "value": 3, "weight": 100}]
    shares = [{"name": "some", "value": 0.25, "weight": 100}]
    layouts = [{"name": "wide", "value": {"columns": 3, "titles": ["a"]}, "weight": 100}]
    gold = [{"conditions": [{"attribute": "plan", "operator": "equals", "values": ["gold"]}]}]
    _set(broker, "beta", "--percentage", "0", "--field", f"rules={json.dumps(gold)}")
    _set(broker, "ramped", "--percentage", "50")
    for name, variants in {"colours": colours, "numbers": numbers, "shares": shares, "layouts": layouts}.items():
        off = json.dumps(variants[0]["name"])
        _set(broker, name, "--field", f"variants={json.dumps(variants)}", "--field", f"off_variant={off}")
    worker = new_worker(ACCESS__TOKENS=TOKENS)
    worker.wait_until_ready()
    provider = OFREPProvider(
        f"http://127.0.0.1:{worker.port}", headers_factory=lambda: {"Authorization": f"Bearer {SECRET}"}, timeout=20
    )
    api.set_provider(provider)
    client = api.get_client()
    wait_until(lambda: client.get_string_value("colours", "none", _user()) == "#00f", "the worker has read the flags")
    yield client
    api.shutdown()
    provider.session.close()
    assert SECRET not in worker.log


def _set(broker: EmbeddedServer, name: str, *arguments: str) -> None:
    done = run_command("flags", "set", name, "--create", "--on", *arguments, KAFKA__BOOTSTRAP_SERVERS=broker.endpoint)
    assert done.returncode == 0, done.stderr.decode()


def _user(**attributes: str) -> EvaluationContext:
    return EvaluationContext(targeting_key="ada", attributes=attributes)


def test_openfeatures_own_client_works_unchanged(client: OpenFeatureClient) -> None:
    assert client.get_boolean_value("beta", default_value=False, evaluation_context=_user(plan="gold"))
    assert not client.get_boolean_value("beta", default_value=True, evaluation_context=_user(plan="tin"))
    assert client.get_boolean_value("caching", default_value=False), "what asks for no user needs none"
    assert client.get_integer_value("numbers", 0, _user()) == 3
    assert client.get_float_value("shares", 0.0, _user()) == 0.25
    assert client.get_object_value("layouts", {}, _user()) == {"columns": 3, "titles": ["a"]}

    details = client.get_boolean_details("beta", default_value=False, evaluation_context=_user(plan="gold"))
    assert (details.variant, details.reason) == ("on", Reason.TARGETING_MATCH)
    assert details.flag_metadata["origin"] == "changelog"

    missing = client.get_string_details("no_such", "fallback", _user())
    assert (missing.value, missing.error_code) == ("fallback", ErrorCode.FLAG_NOT_FOUND)
    keyless = client.get_boolean_details("ramped", default_value=True)
    assert (keyless.value, keyless.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)
    mistyped = client.get_boolean_details("colours", default_value=True, evaluation_context=_user())
    assert (mistyped.value, mistyped.error_code) == (True, ErrorCode.TYPE_MISMATCH)
