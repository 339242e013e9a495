"""`Stream`: a run whose text is read while it is made.

    with agent.stream("Tell a story") as stream:
        for chunk in stream:
            print(chunk.delta, end="")
    print(stream.result.usage)

Reading is bounded: when the reader is behind, the producer waits, and stops reading its socket.
Leaving the block early cancels the run and closes the socket. A stream that fails gives
`StreamFailed`, then `StreamEnd`: the loop over chunks does not raise; `.result`, `text()`,
`collect()` and `wait()` do, with the text that arrived as `.partial`. `async with` and `async for`
are the twins.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from understudy.actors.streams.buffer import StreamBuffer
from understudy.messages.agents import Result
from understudy.messages.chunks import AnyChunk, StreamEnd
from understudy.messages.errors import UnderstudyError, WouldDeadlockError

if TYPE_CHECKING:
    from understudy.runtime.items import Items
    from understudy.runtime.runs import Run

T = TypeVar("T")
E = TypeVar("E")


class Stream(Generic[T]):
    """See the module's docstring. One reader, on any thread or loop."""

    def __init__(self, run: Run[Result[T]], buffer: StreamBuffer, loop_thread: int) -> None:
        self._run = run
        self._buffer = buffer
        self._loop_thread = loop_thread
        self._ended = False
        run.reply.add_done_callback(lambda reply: buffer.close(reply.outcome().error))

    # -- reading -----------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[AnyChunk]:
        self._check_thread("iterate with `async for`")
        while not self._ended:
            chunk = self._buffer.take()
            if chunk is None:
                self._buffer.readable().get()
                continue
            self._ended = isinstance(chunk, StreamEnd)
            yield chunk

    async def __aiter__(self) -> AsyncIterator[AnyChunk]:
        while not self._ended:
            chunk = self._buffer.take()
            if chunk is None:
                await self._buffer.readable()
                continue
            self._ended = isinstance(chunk, StreamEnd)
            yield chunk

    def text(self) -> Iterator[str]:
        """The text, piece by piece.

        Raises:
            UnderstudyError: at its end, when the run failed.
        """
        for chunk in self:
            if chunk.delta:
                yield chunk.delta
        self.wait()

    def collect(self) -> str:
        """The whole text, when it is complete. Blocks this thread."""
        return self.wait().text

    def items(self: Stream[list[E]]) -> Items[E]:
        """The elements of an `output=list[...]`, each as soon as it is complete; see `Items`.

        `for city in stream.items()`, or `async for`.

        Raises:
            ConfigError: the agent's output is no list.
            UnderstudyError: at its end, when the run failed.
        """
        from understudy.runtime.items import Items

        return Items(self, self._run.output)

    def wait(self) -> Result[T]:
        """Read to the end and give the result. Blocks this thread.

        Raises:
            UnderstudyError: the run failed; `.partial` is the text that had arrived.
        """
        for _ in self:
            pass
        return self.result

    async def await_result(self) -> Result[T]:
        """The twin of `wait`."""
        async for _ in self:
            pass
        return self.result

    @property
    def result(self) -> Result[T]:
        """The result, once the stream has ended.

        Raises:
            UnderstudyError: the run failed or was cancelled (`.partial`), or goes on.
        """
        if not self._run.reply.done:
            msg = "the stream has not ended: read it to the end, or call wait()"
            raise UnderstudyError(msg, run_id=self._run.run_id)
        outcome = self._run.reply.outcome()
        if outcome.error is None:
            result: Result[T] = outcome.value
            return result
        if isinstance(outcome.error, UnderstudyError) and outcome.error.partial is None:
            outcome.error.partial = self._buffer.text
        raise outcome.error

    def cancel(self) -> None:
        """End the run; the stream ends with `StreamFailed` and `StreamEnd`."""
        self._run.cancel()

    # -- blocks ------------------------------------------------------------------------------------

    def __enter__(self) -> Stream[T]:
        self._check_thread("use `async with agent.astream(...)`")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    async def __aenter__(self) -> Stream[T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        await asyncio.sleep(0)

    def _leave(self) -> None:
        if not self._run.reply.done:
            self._run.cancel()
        self._buffer.close()

    def _check_thread(self, remedy: str) -> None:
        if get_ident() == self._loop_thread:
            msg = f"reading this stream here would stop the loop that fills it: {remedy}"
            raise WouldDeadlockError(msg)

    def __del__(self) -> None:
        run: Any = getattr(self, "_run", None)  # Any: half-made when __init__ failed
        if run is not None and not run.reply.done:
            import warnings

            run.cancel()
            warnings.warn(
                "a stream was dropped without being closed; use `with agent.stream(...)`",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
