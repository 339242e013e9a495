"""`StreamReader`: reading a stream, by its owner or by whoever else is interested.

One at a time iterates, on any thread or loop. The loop over chunks does not raise: a stream that
failed gives `StreamFailed`, then `StreamEnd`. `text()`, `collect()`, `wait()`, `as_reader()` and
`result` do, with the text that arrived as `partial`. What can wait has a twin: `atext`, `acollect`,
`await_result` (or just `await stream`).
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from understudy.actors.streams.buffer import StreamBuffer
from understudy.actors.streams.reader import Reader
from understudy.messages.agents import Result
from understudy.messages.chunks import AnyChunk
from understudy.messages.errors import StreamError, UnderstudyError, WouldDeadlockError
from understudy.messages.streams import StreamStats

if TYPE_CHECKING:
    import io
    import queue

    from understudy.runtime.items import Items
    from understudy.runtime.runs import Run

T = TypeVar("T")
E = TypeVar("E")


class StreamReader(Generic[T]):
    """See the module's docstring.

    Args:
        run: what is streamed.
        buffer: where the chunks are.
        reader: the position in it.
        loop_thread: the thread that must not block.
        source: the stream that it reads too; held, so that it does not end while somebody reads.
    """

    def __init__(
        self,
        run: Run[Result[T]],
        buffer: StreamBuffer,
        reader: Reader,
        loop_thread: int,
        source: StreamReader[T] | None = None,
    ) -> None:
        self._run = run
        self._buffer = buffer
        self._reader = reader
        self._loop_thread = loop_thread
        self._source = source

    @property
    def run_id(self) -> str:
        """The id of the run that is streamed."""
        return self._run.run_id

    # -- chunks ------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[AnyChunk]:
        self.check_thread("iterate with `async for`")
        reader, eager = self._reader, self._buffer.joins
        while batch := reader.next_batch():
            for chunk in batch:
                reader.position = chunk.index + 1
                if eager:
                    reader.pause()
                yield chunk

    async def __aiter__(self) -> AsyncIterator[AnyChunk]:
        reader, eager = self._reader, self._buffer.joins
        while batch := await reader.anext_batch():
            for chunk in batch:
                reader.position = chunk.index + 1
                if eager:
                    reader.pause()
                yield chunk

    # -- text --------------------------------------------------------------------------------------

    def text(self) -> Iterator[str]:
        """The text, piece by piece. Blocks this thread between them.

        Raises:
            UnderstudyError: at its end, when the run failed.
        """
        for chunk in self:
            if chunk.delta:
                yield chunk.delta
        self._check()

    async def atext(self) -> AsyncIterator[str]:
        """The twin of `text`."""
        # Not over `self`: one async generator inside of another costs as much as the rest here.
        reader, eager = self._reader, self._buffer.joins
        while batch := await reader.anext_batch():
            for chunk in batch:
                reader.position = chunk.index + 1
                if eager:
                    reader.pause()
                if chunk.delta:
                    yield chunk.delta
        self._check()

    def collect(self) -> str:
        """The whole text, when it is complete; what was not kept (`retain`) is gathered from here.

        Raises:
            UnderstudyError: the run failed; `.partial` is the text that had arrived.
        """
        gathered = "".join(self.text())
        return self._buffer.text if self._buffer.retain == "full" else gathered

    async def acollect(self) -> str:
        """The twin of `collect`."""
        gathered = "".join([text async for text in self.atext()])
        return self._buffer.text if self._buffer.retain == "full" else gathered

    def items(self: StreamReader[list[E]]) -> Items[E]:
        """The elements of an `output=list[...]`, each as soon as it is complete; see `Items`.

        `for city in stream.items()`, or `async for`.

        Raises:
            ConfigError: the agent's output is no list.
            UnderstudyError: at its end, when the run failed.
        """
        from understudy.runtime.items import Items

        return Items(self, self._run.output)

    # -- the result --------------------------------------------------------------------------------

    def wait(self) -> Result[T]:
        """Read to the end and give the result. Blocks this thread.

        Raises:
            UnderstudyError: the run failed; `.partial` is the text that had arrived.
        """
        for _ in self:
            pass
        return self.result

    async def await_result(self) -> Result[T]:
        """The twin of `wait`; `await stream` is the same."""
        async for _ in self:
            pass
        return self.result

    def __await__(self) -> Generator[Any, None, Result[T]]:  # Any: asyncio's protocol
        return self.await_result().__await__()

    @property
    def result(self) -> Result[T]:
        """The result, once the stream has ended.

        Raises:
            UnderstudyError: the run failed or was cancelled (`.partial`), or goes on.
        """
        self._check()
        if not self._run.reply.done:
            msg = "the stream has not ended: read it to the end, or call wait()"
            raise UnderstudyError(msg, run_id=self._run.run_id)
        result: Result[T] = self._run.reply.outcome().value
        return result

    @property
    def stats(self) -> StreamStats:
        """How the stream is doing."""
        return self._buffer.stats

    def cancel(self) -> None:
        """End the run; the stream ends with `StreamFailed` and `StreamEnd`."""
        self._run.cancel()

    # -- other forms -------------------------------------------------------------------------------

    def as_reader(self) -> io.TextIOBase:
        """The text as a file that is read; closing it closes the stream."""
        from understudy.runtime.outlets import StreamFile

        return StreamFile(self)

    def to_queue(self) -> queue.Queue[AnyChunk]:
        """The chunks as a queue, `StreamEnd` last. No thread fills it: `get` reads the stream."""
        from understudy.runtime.outlets import StreamQueue

        return StreamQueue(self, self._reader)

    # -- blocks ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.check_thread("use `async with agent.astream(...)`")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def close(self) -> None:
        """Read no more. Never blocks; the last reader to leave ends the run."""
        if self._reader.leave():
            self._run.cancel()

    async def aclose(self) -> None:
        """The twin of `close`: what it cancels has heard of it when this returns."""
        import asyncio

        self.close()
        await asyncio.sleep(0)

    def check_thread(self, remedy: str) -> None:
        """Raise `WouldDeadlockError` where blocking would stop the loop that fills the stream."""
        if get_ident() == self._loop_thread:
            msg = f"reading this stream here would stop the loop that fills it: {remedy}"
            raise WouldDeadlockError(msg)

    def _check(self) -> None:
        """Raise what this reader lost its stream to, or what the run failed with."""
        error = self._reader.error
        if error is None and isinstance(self._buffer.error, StreamError):
            error = self._buffer.error
        if error is None and self._run.reply.done:
            error = self._run.reply.outcome().error
        if error is None:
            return
        if isinstance(error, UnderstudyError) and error.partial is None:
            error.partial = self._buffer.text
        raise error.with_traceback(None)
