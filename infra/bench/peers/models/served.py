"""A plain consumer that has a TorchServe answer, which runs transformers' pipeline: a request with all texts of a turn.

Takes BROKER, SOURCE, SINK, GROUP, BATCH (texts at most), THREADS, LABELS (how many) and RELEASE (a folder, or nothing);
says `ready` once TorchServe has loaded the model, and runs until it is ended. What TorchServe needs lies in the folder
where this is run.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consuming import consume  # type: ignore[import-not-found]  # beside this script

if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE = Path(__file__).parent
_PROGRAMS = Path(sys.executable).parent
_LOOPBACK = "127.0.0.1"
_NAME = "intents"
_ADDRESSES = ("inference_address", "management_address", "metrics_address")
_GRPC_PORTS = ("grpc_inference_port", "grpc_management_port")

_START_SECONDS = 300
_POLL_SECONDS = 0.2
_ANSWER_SECONDS = 60.0


class TorchServe:
    """A TorchServe with one worker of one model. Returns from its making once the model answers.

    Args:
        folder: Where it writes.
        threads: Of torch, in the worker.
        labels: How many a network without a release has.
        release: The folder of the network; None: one that has learnt nothing.
    """

    def __init__(self, folder: Path, *, threads: int, labels: int, release: str | None) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _archive(folder, {"threads": threads, "labels": labels, "release": release})
        ports = _free_ports(len(_ADDRESSES) + len(_GRPC_PORTS))
        process = _start(folder, ports)
        self._connection = http.client.HTTPConnection(_LOOPBACK, ports[0], timeout=_ANSWER_SECONDS)
        while (answer := self._ask(["hello"])) is None:
            if process.poll() is not None:
                raise SystemExit(f"TorchServe ended with {process.returncode} while it was starting.")
            time.sleep(_POLL_SECONDS)
        if len(answer) != 1:
            raise SystemExit("TorchServe answers something else than was asked.")

    def answer(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return what the model says of each text."""
        answer = self._ask(texts)
        if answer is None:
            raise SystemExit("TorchServe has stopped answering.")
        return answer

    def _ask(self, texts: Sequence[str]) -> list[dict[str, Any]] | None:
        """Return an answer; None where there is none."""
        body = json.dumps({"texts": texts})
        try:
            self._connection.request("POST", f"/predictions/{_NAME}", body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return None
        return json.loads(said) if response.status == http.HTTPStatus.OK else None


def _archive(folder: Path, handler: dict[str, Any]) -> None:
    """Write what TorchServe loads, with its own archiver."""
    store, configuration = folder / "store", folder / "model-config.yaml"
    store.mkdir()
    told = {"minWorkers": 1, "maxWorkers": 1, "startupTimeout": _START_SECONDS, "handler": handler}
    configuration.write_text(json.dumps(told), "utf-8")  # which is YAML, too
    archiver = [str(_PROGRAMS / "torch-model-archiver"), "--model-name", _NAME, "--version", "1.0"]
    files = ["--handler", str(_HERE / "handler.py"), "--extra-files", str(_HERE / "network.py")]
    subprocess.run(
        [*archiver, *files, "--config-file", str(configuration), "--export-path", str(store)],
        check=True,
        stdout=sys.stderr,
    )


def _start(folder: Path, ports: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start it in the foreground, so that it stays in our process group, with which it is ended."""
    properties = {name: f"http://{_LOOPBACK}:{port}" for name, port in zip(_ADDRESSES, ports, strict=False)}
    properties |= {name: str(port) for name, port in zip(_GRPC_PORTS, ports[len(_ADDRESSES) :], strict=True)}
    configuration = folder / "config.properties"
    configuration.write_text("".join(f"{name}={value}\n" for name, value in properties.items()), "utf-8")
    command = [str(_PROGRAMS / "torchserve"), "--start", "--foreground", "--ncs", "--disable-token-auth"]
    command += ["--ts-config", str(configuration), "--model-store", str(folder / "store"), "--models", f"{_NAME}.mar"]
    # Where it notes its pid, unpacks archives and logs; otherwise all of a user's share one place.
    places = dict.fromkeys(("TMPDIR", "TEMP", "LOG_LOCATION", "METRICS_LOCATION"), str(folder))
    return subprocess.Popen(command, stdout=sys.stderr, cwd=folder, env=os.environ | places)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def main(broker: str, source: str, sink: str, group: str, *model: str) -> None:
    """Answer for as long as we run."""
    batch, threads, labels = map(int, model[:3])
    server = TorchServe(Path("torchserve").absolute(), threads=threads, labels=labels, release=model[3] or None)
    server.answer(["hello"] * batch)
    consume(broker, source, sink, group, batch=batch, answer=server.answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
