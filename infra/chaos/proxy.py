"""A TCP proxy that harms what passes through it: connections are cut, hang, are slow, or have little room."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from infra.embedded.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType
    from typing import Any

_CHUNK_BYTES = 64 * 1024
_CALL_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Passage:
    """How bytes get through, in both directions.

    Attributes:
        cut: Whether open connections are reset, and new ones as soon as they are accepted.
        hung: Whether nothing passes, while connections stay open and new ones are accepted.
        delay_seconds: By which each chunk comes later.
        bytes_per_second: The most that pass on one connection, each way; 0: any number.
    """

    cut: bool = False
    hung: bool = False
    delay_seconds: float = 0.0
    bytes_per_second: int = 0


FREE = Passage()


class FaultProxy:
    """Listens on one port of this machine and connects to another. Use as a context manager.

    Its loop has a thread of its own; `let` may be called from any other.

    Args:
        port: Where it listens.
        target: Where it connects to, once for each connection that it accepts.
    """

    def __init__(self, *, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._passage = FREE
        self._moving = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"fault-proxy-{port}", daemon=True)

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self._thread.start()
        self._server = self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_SECONDS)
        self._loop.close()

    def let(self, passage: Passage) -> None:
        """Have all that passes from now on, on connections that are open too, pass so."""
        self._call(self._change(passage))

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    async def _listen(self) -> asyncio.Server:
        self._moving.set()
        return await asyncio.start_server(self._accept, LOOPBACK, self.port)

    async def _change(self, passage: Passage) -> None:
        self._passage = passage
        if passage.cut:
            self._reset()
        if passage.hung:
            self._moving.clear()
        else:
            self._moving.set()

    def _reset(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._passage.cut:
                return
            await self._moving.wait()
            target_reader, target_writer = await asyncio.open_connection(LOOPBACK, self._target)
            self._open.add(target_writer)
            try:
                await asyncio.gather(self._pump(reader, target_writer), self._pump(target_reader, writer))
            finally:
                self._open.discard(target_writer)
                target_writer.transport.abort()
        except OSError:
            return  # either side is gone, and the other is told so below
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes one way until either end is gone.

        Raises:
            OSError: It is.
        """
        while chunk := await reader.read(_CHUNK_BYTES):
            passage = self._passage
            wait = passage.delay_seconds
            if passage.bytes_per_second:
                wait += len(chunk) / passage.bytes_per_second
            if wait:
                await asyncio.sleep(wait)
            await self._moving.wait()
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError

    async def _end(self) -> None:
        self._server.close()
        self._moving.set()
        self._reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
