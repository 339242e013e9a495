"""`Stream`: a run whose text is read while it is made.

    with agent.stream("Tell a story") as stream:
        for chunk in stream:
            print(chunk.delta, end="")
    print(stream.result.usage)

Who opened it is its owner: when the owner is behind, the producer waits, and stops reading its
socket. Leaving the block early cancels the run and closes the socket. `async with` and `async for`
are the twins. Others read along at their own pace (`tee`, `subscribe`), within a window of what has
passed; they never hold the producer up. How reading goes is in `reading`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from understudy.actors.streams.buffer import StreamBuffer
from understudy.actors.streams.emitter import Streams, teller
from understudy.actors.streams.reader import subscribe
from understudy.messages.agents import Result
from understudy.messages.errors import ConfigError
from understudy.messages.kinds import COUNT
from understudy.runtime.reading import StreamReader

if TYPE_CHECKING:
    from understudy.actors.kernel.system import ActorSystem
    from understudy.runtime.runs import Run

T = TypeVar("T")


class Stream(StreamReader[T]):
    """See the module's docstring."""

    def __init__(
        self, run: Run[Result[T]], buffer: StreamBuffer, system: ActorSystem, streams: Streams
    ) -> None:
        text_only = buffer.options.text_only
        reader = subscribe(buffer, text_only=text_only, owner=True)
        super().__init__(run, buffer, reader, system.loop_thread)
        self._system = system
        self._streams = streams
        streams.open(run.run_id, buffer, run.cancel)
        run.reply.add_done_callback(lambda reply: buffer.close(reply.outcome().error))

    def subscribe(self, *, after: int | None = None, text_only: bool = False) -> StreamReader[T]:
        """Read it too, at another pace, from chunk number `after` on.

        Args:
            after: the `index` of the last chunk that is known; None: from the oldest that is still
                there. What lies outside the window is a `StreamError` (`reason="lagged"`).
            text_only: leave out what is not text.

        Raises:
            ConfigError: the stream has no chunk of that number.
        """
        reader = subscribe(
            self._buffer,
            after=after,
            text_only=text_only,
            on_lag=teller(self._system, self._run.run_id),
        )
        return StreamReader(self._run, self._buffer, reader, self._loop_thread, self)

    def tee(self, n: int = 2) -> tuple[StreamReader[T], ...]:
        """Readers that each see everything from here on; read them instead of this.

        The first takes the owner's place: it holds the producer up when it is behind. The others
        must not fall out of the window. When the last has left, the run ends.

        Raises:
            ConfigError: fewer than one reader.
        """
        if not COUNT.fits(n):
            msg = f"tee({n!r}): at least 1 reader is needed"
            raise ConfigError(msg)
        mine = self._reader
        others = [
            self.subscribe(after=mine.position - 1, text_only=mine.text_only) for _ in range(n - 1)
        ]
        first = StreamReader(self._run, self._buffer, mine, self._loop_thread, self)
        return (first, *others)

    def close(self) -> None:
        """Read no more: the run is cancelled if it goes on, and its socket closed. Never blocks."""
        if not self._run.reply.done:
            self._run.cancel()
        self._buffer.close()
        self._streams.close(self._run.run_id)

    def __del__(self) -> None:
        run: Any = getattr(self, "_run", None)  # Any: half-made when __init__ failed
        if run is None:
            return
        streams: Streams | None = getattr(self, "_streams", None)
        if streams is not None:
            streams.close(run.run_id)
        if not run.reply.done:
            import warnings

            run.cancel()
            warnings.warn(
                "a stream was dropped without being closed; use `with agent.stream(...)`",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
