"""`Agent`: a spec with verbs.

Frozen, cheap to make, safe to share between any number of concurrent runs. Which runtime runs it is
decided at each call (see `current`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, overload

from understudy.messages.agents import AgentSpec, Model, Result
from understudy.messages.errors import ConfigError
from understudy.runtime.current import current_runtime
from understudy.runtime.fan_out import fan_out
from understudy.runtime.submit import with_changes

if TYPE_CHECKING:
    from typing import Unpack

    from typing_extensions import TypeVar

    from understudy.messages.agents import AgentOptions
    from understudy.runtime.runs import Run
    from understudy.runtime.runtime import Runtime
    from understudy.runtime.stream import Stream

    T_co = TypeVar("T_co", default=str, covariant=True)  # so that `agent: Agent` means Agent[str]
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)

S = TypeVar("S")


class Agent(AgentSpec, Generic[T_co], frozen=True, kw_only=True):
    """An agent: `Agent("openai:gpt-5-mini", instructions="Be terse.")`; fields as in `AgentSpec`.

    `Agent(..., output=City)` is an `Agent[City]`: its results hold a `City`; without `output=` it
    is an `Agent[str]`.

    All verbs take `runtime=`, `history=`, `timeout=` and any field of the agent as an override for
    this one call.
    """

    if TYPE_CHECKING:  # what type checkers cannot see: which output makes which Agent

        @overload
        def __init__(
            self: Agent[str],
            model: Model = None,
            *,
            output: None = None,
            **options: Unpack[AgentOptions],
        ) -> None: ...
        @overload
        def __init__(
            self: Agent[S],
            model: Model = None,
            *,
            output: type[S],
            **options: Unpack[AgentOptions],
        ) -> None: ...
        @overload
        def __init__(
            self: Agent[Any],  # Any: a union or a Literal is no type[S]
            model: Model = None,
            *,
            output: Any,
            **options: Unpack[AgentOptions],
        ) -> None: ...
        def __init__(
            self, model: Model = None, *, output: Any = None, **options: Unpack[AgentOptions]
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            msg = f"Agent(max_tokens={self.max_tokens}): at least 1 is needed"
            raise ConfigError(msg)
        if self.timeout is not None and self.timeout <= 0:
            msg = f"Agent(timeout={self.timeout}): more than 0 seconds are needed"
            raise ConfigError(msg)
        if self.output is not None:
            from understudy.actors.agents.output import output_plan

            output_plan(self.output, self.name)

    @overload
    def with_(self, *, output: type[S], **changes: Any) -> Agent[S]: ...
    @overload
    def with_(self, **changes: Any) -> Self: ...
    def with_(self, **changes: Any) -> Any:  # Any: fields of the agent
        """A changed copy."""
        return with_changes(self, changes)

    def run(self, prompt: str, *, runtime: Runtime | None = None, **options: Any) -> Result[T_co]:
        """Run once; blocks the calling thread.

        Raises:
            WouldDeadlockError: on the loop of the runtime; use `await agent.arun(...)`.
            ModelError, DeadlineExceededError, OverloadedError: what went wrong.
        """
        result: Result[T_co] = current_runtime(runtime).run(self, prompt, **options)
        return result

    async def arun(
        self, prompt: str, *, runtime: Runtime | None = None, **options: Any
    ) -> Result[T_co]:
        """The twin of `run`; cancelling the task that awaits it cancels the run."""
        result: Result[T_co] = await current_runtime(runtime).arun(self, prompt, **options)
        return result

    def submit(
        self, prompt: str, *, runtime: Runtime | None = None, **options: Any
    ) -> Run[Result[T_co]]:
        """Start a run and return at once."""
        return current_runtime(runtime).submit(self, prompt, **options)

    def stream(
        self, prompt: str, *, runtime: Runtime | None = None, **options: Any
    ) -> Stream[T_co]:
        """Start a run whose text is read while it is made; `buffer_size=` bounds what waits."""
        rt = current_runtime(runtime)
        rt.check_blocking(
            "reading this stream here would stop the loop that fills it: "
            "use `async with agent.astream(...)`"
        )
        return rt.stream(self, prompt, **options)

    def astream(
        self, prompt: str, *, runtime: Runtime | None = None, **options: Any
    ) -> Stream[T_co]:
        """The twin of `stream`, for `async with` and `async for`."""
        return current_runtime(runtime).stream(self, prompt, **options)

    def map(
        self,
        prompts: Iterable[str],
        *,
        max_concurrent: int = 64,
        runtime: Runtime | None = None,
        **options: Any,
    ) -> list[Result[T_co]]:
        """Run once for each prompt, at most `max_concurrent` at a time; results in order. Blocks.

        The first failure cancels the rest and is raised.
        """
        rt = current_runtime(runtime)
        work = self.amap(prompts, max_concurrent=max_concurrent, runtime=rt, **options)
        return rt.complete(work, "agent.amap")

    async def amap(
        self,
        prompts: Iterable[str],
        *,
        max_concurrent: int = 64,
        runtime: Runtime | None = None,
        **options: Any,
    ) -> list[Result[T_co]]:
        """The twin of `map`."""
        rt = current_runtime(runtime)
        items: Sequence[str] = list(prompts)
        return await fan_out(items, lambda prompt: rt.arun(self, prompt, **options), max_concurrent)

    def batch(
        self,
        prompts: Iterable[str],
        *,
        size: int = 20,
        max_concurrent: int = 64,
        runtime: Runtime | None = None,
        **options: Any,
    ) -> list[Result[T_co]]:
        """Answer up to `size` prompts with one request; results in order. Blocks.

        For many short prompts: what they share is sent once. Each answer is checked to be whose it
        is and of the agent's type; where that is not certain the prompt is asked again by itself.
        """
        rt = current_runtime(runtime)
        work = self.abatch(prompts, size=size, max_concurrent=max_concurrent, runtime=rt, **options)
        return rt.complete(work, "agent.abatch")

    async def abatch(
        self,
        prompts: Iterable[str],
        *,
        size: int = 20,
        max_concurrent: int = 64,
        runtime: Runtime | None = None,
        **options: Any,
    ) -> list[Result[T_co]]:
        """The twin of `batch`."""
        from understudy.runtime.batch import batch

        return await batch(
            current_runtime(runtime),
            self,
            list(prompts),
            size=size,
            max_concurrent=max_concurrent,
            options=options,
        )
