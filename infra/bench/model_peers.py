"""transformers' pipeline and semantic-router, in a process and an environment of their own, asked in turn with us."""

from __future__ import annotations

import subprocess
from typing import IO, TYPE_CHECKING, Self

import msgspec

from infra.bench.peers import peer_command
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

PIPELINE_1, PIPELINE_32, ROUTER = "transformers_pipeline_1", "transformers_pipeline_32", "semantic_router"
PEERS = (PIPELINE_1, PIPELINE_32, ROUTER)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What the peers are given: `infra/bench/peers/models/answer.py` reads it.

    Attributes:
        texts: To be answered, in the order in which they are.
        intents: The right ones.
        examples: By intent.
        release: Folder of the fine-tuned network that the pipeline runs; None: one of its size that has learnt nothing.
        threads: Of torch.
    """

    texts: list[str]
    intents: list[str | None]
    examples: dict[str, list[str]]
    release: str | None
    threads: int


class Turn(msgspec.Struct, frozen=True):
    """What a peer did in a round."""

    seconds: float
    texts: int
    right: int


class Peers:
    """The peers' process. Entering starts it and returns when all are warm; leaving ends it.

    Args:
        task: What they are given.
        folder: For the file that it stands in, and for what they say.
    """

    def __init__(self, task: Task, folder: Path) -> None:
        self._file = folder / "task.json"
        self._errors = folder / "peers.log"
        self._file.write_bytes(msgspec.json.encode(task))

    def __enter__(self) -> Self:
        command = peer_command("models", "answer.py", str(self._file))
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            self._line()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, peer: str) -> Turn:
        """Have one peer answer its next texts.

        Raises:
            UnavailableError: The process ended.
        """
        print(peer, file=self._input, flush=True)
        return msgspec.json.decode(self._line(), type=Turn)

    @property
    def _input(self) -> IO[str]:
        if self._process.stdin is None:
            raise UnavailableError("The peers' process has no standard input.")
        return self._process.stdin

    def _line(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            said = self._errors.read_text(errors="replace").strip()[-500:]
            raise UnavailableError(f"The models' peers ended: {said}")
        return line

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
