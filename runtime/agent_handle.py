"""An agent with an explicit end: `with rt.agent(agent) as handle`.

An agent is a spec and needs no end. Whoever gives one to other code may want one all the same: when
the block is left, runs that were begun through the handle and still go on are cancelled, and no
more are begun.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from understudy.messages.agents import AgentSpec, Result
from understudy.messages.errors import RuntimeStoppedError
from understudy.runtime.runs import get_or_cancel

if TYPE_CHECKING:
    from understudy.runtime.runs import Run
    from understudy.runtime.runtime import Runtime
    from understudy.runtime.stream import Stream

T = TypeVar("T")


class AgentHandle(Generic[T]):
    """See the module's docstring. Any thread; the verbs take the options of `rt.run`."""

    def __init__(self, runtime: Runtime, spec: AgentSpec) -> None:
        self._runtime = runtime
        self.spec = spec
        self._open: dict[int, Run[Any]] = {}  # Any: the output's type
        self._streams: list[Stream[Any]] = []
        self._closed = False

    def submit(self, prompt: str, **options: Any) -> Run[Result[T]]:  # Any: as for rt.submit
        """Start a run and return at once.

        Raises:
            RuntimeStoppedError: the handle is closed.
        """
        self._check_open()
        run: Run[Result[T]] = self._runtime.submit(self.spec, prompt, **options)
        self._open[id(run)] = run

        def ended(_: object) -> None:
            self._open.pop(id(run), None)

        run.reply.add_done_callback(ended)
        return run

    def run(self, prompt: str, **options: Any) -> Result[T]:  # Any: as for rt.run
        """Run once; blocks this thread.

        Raises:
            WouldDeadlockError: on the loop of the runtime; use `await handle.arun(...)`.
        """
        self._runtime.check_blocking(
            "run() blocks the loop that has to do the work: use `await handle.arun()`"
        )
        return get_or_cancel(self.submit(prompt, **options))

    async def arun(self, prompt: str, **options: Any) -> Result[T]:  # Any: as for rt.arun
        """The twin of `run`; cancelling the task that awaits it cancels the run."""
        return await self.submit(prompt, **options).reply

    def stream(self, prompt: str, **options: Any) -> Stream[T]:  # Any: as for rt.stream
        """Start a run whose text is read while it is made; closed with the handle."""
        self._check_open()
        stream: Stream[T] = self._runtime.stream(self.spec, prompt, **options)
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        """Cancel what still goes on, and begin nothing more. Idempotent, never blocks."""
        self._closed = True
        for run in list(self._open.values()):
            run.cancel()
        streams, self._streams = self._streams, []
        for stream in streams:
            stream.cancel()

    def _check_open(self) -> None:
        if self._closed:
            name = self.spec.name or "agent"
            msg = f"the handle of {name!r} is closed: begin runs inside of its block"
            raise RuntimeStoppedError(msg)

    def __enter__(self) -> Self:
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
        self.close()
