"""Real model servers for the tests, in environments of their own (`tests/servers`): how each is run."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.embedded import ports
from infra.embedded.java import find_java
from infra.embedded.ports import free_port
from infra.embedded.process import Launch
from models.distilbert import LABELS_FILE, MODEL_FILE
from models.remote.archive import write_archive
from models.remote.release import release_digest

if TYPE_CHECKING:
    import threading

    from infra.embedded.server import Say

ROOT = Path(__file__).parents[2]
RUNTIMES = ROOT / "tests" / "servers" / "mlserver"
TOKENS, TEXTS = "takes-token-ids", "takes-texts"
SILENT = "silent-"
"""The models of an `MLServerProgram`; each is there once more, with this before its name, and tells no labels."""

VERSION = "7"
"""Of each of them."""


@dataclass(frozen=True, kw_only=True)
class MLServerProgram:
    """How to run MLServer with a release as a model of each kind of input.

    Attributes:
        program: The `mlserver` of its environment.
        release: The folder of the release.
    """

    program: Path
    release: Path
    name: str = "mlserver"
    port_setting: str = ""

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:  # noqa: ARG002
        """Write its settings and those of its models."""
        settings = {
            "host": ports.LOOPBACK,
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_endpoint": None,
            "parallel_workers": 0,
        }
        _write_json(folder / "settings.json", settings)
        labels = json.loads((self.release / LABELS_FILE).read_bytes())
        labels["release"] = release_digest(self.release / MODEL_FILE)
        ids = [{"name": name, "datatype": "INT64", "shape": [-1, -1]} for name in ("input_ids", "attention_mask")]
        texts = [{"name": "utterances", "datatype": "BYTES", "shape": [-1]}]
        logits = {"name": "logits", "datatype": "FP32", "shape": [-1, len(labels["labels"])]}
        for model, runtime, inputs in ((TOKENS, "TokenRuntime", ids), (TEXTS, "TextRuntime", texts)):
            told = {
                "name": model,
                "versions": [VERSION],
                "implementation": f"runtimes.{runtime}",
                "inputs": inputs,
                "outputs": [logits | {"parameters": labels}],
                "parameters": {"uri": str(self.release), "version": VERSION},
            }
            silent = told | {"name": SILENT + model, "outputs": [logits]}
            for each in (told, silent):
                _write_json(folder / str(each["name"]) / "model-settings.json", each)
        return Launch(
            command=[str(self.program), "start", str(folder)],
            environment={"PYTHONPATH": f"{RUNTIMES}{os.pathsep}{ROOT}"},
        )

    def answers(self, port: int) -> bool:
        """Return whether its models are ready."""
        return _status(port, "GET", "/v2/health/ready") == http.HTTPStatus.OK

    def endpoint(self, port: int) -> str:
        """Return its URL."""
        return f"http://{ports.LOOPBACK}:{port}"


@dataclass(frozen=True, kw_only=True)
class TorchServeProgram:
    """How to run TorchServe with an archive of ours.

    Attributes:
        program: The `torchserve` of its environment.
        release: The folder of the release to archive.
    """

    program: Path
    release: Path
    name: str = "torchserve"
    port_setting: str = ""

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:  # noqa: ARG002
        """Archive the release, write the configuration, and say what `torchserve --start` would run.

        That program leaves the server behind in the background, with its pid in a file that all of a user's share.
        """
        store, scratch = folder / "store", folder / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        for made in (store, scratch):
            made.mkdir(exist_ok=True)
        write_archive(self.release, store / "distilbert.mar")
        addresses = {"inference_address": port, "management_address": free_port(), "metrics_address": free_port()}
        properties = {name: f"http://{ports.LOOPBACK}:{number}" for name, number in addresses.items()}
        properties |= {"grpc_inference_port": str(free_port()), "grpc_management_port": str(free_port())}
        properties |= {"load_models": "distilbert.mar", "default_workers_per_model": "1"}
        properties |= {"disable_token_authorization": "true"}
        configuration = folder / "config.properties"
        configuration.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        python = self.program.with_name("python")
        home = subprocess.run(
            [python, "-c", "import ts; print(ts.__path__[0])"], check=True, capture_output=True, text=True, timeout=60
        )
        packages = Path(home.stdout.strip())
        command = [str(find_java()), "-Xmx256m", f"-Dmodel_server_home={packages.parent}"]
        command += [f"-Djava.io.tmpdir={scratch}", "-cp", f"{packages}/frontend/*", "org.pytorch.serve.ModelServer"]
        command += ["--python", str(python), "-f", str(configuration), "-s", str(store), "-ncs"]
        logs = {"LOG_LOCATION": str(folder / "logs"), "METRICS_LOCATION": str(folder / "logs")}
        return Launch(command=command, environment=logs | {"TMPDIR": str(scratch)})

    def answers(self, port: int) -> bool:
        """Return whether its worker answers."""
        return _status(port, "POST", "/predictions/distilbert", {"texts": []}) == http.HTTPStatus.OK

    def endpoint(self, port: int) -> str:
        """Return the URL of its inference API."""
        return f"http://{ports.LOOPBACK}:{port}"


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


def _status(port: int, method: str, path: str, body: object = None) -> int | None:
    """Return the status of an answer; None where there is none."""
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=2)
    try:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
