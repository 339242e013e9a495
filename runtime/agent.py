"""`Agent`: a spec with verbs.

Frozen, cheap to make, safe to share between any number of concurrent runs. Which runtime runs it is
decided at each call (see `current`).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, overload

import msgspec

from understudy.messages.agents import AgentSpec, AgentTool, Model, Result
from understudy.messages.errors import ConfigError
from understudy.runtime.agent_fields import check_fields
from understudy.runtime.cache import as_cache
from understudy.runtime.current import current_runtime
from understudy.runtime.fan_out import OnFailure, fan_out
from understudy.runtime.options import prompts_of, with_changes

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

    All verbs take `runtime=`, `history=`, `timeout=`, `budget=`, `resume=` and any field of the
    agent as an override for this one call.
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
        check_fields(self)
        if self.cache is not None and type(self.cache) is not bool:
            msgspec.structs.force_setattr(self, "cache", as_cache(self.cache))
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

    def override(self, **changes: Any) -> AbstractContextManager[Self]:  # Any: fields
        """Within the block, runs of this agent have other fields: `agent.override(model=fake)`.

        For tests of code that has its agents already. It holds for the runs that this task or
        thread begins in the block, whoever calls for them (a function, a workflow's step, a tool,
        another agent that has this one as a tool), and wins over what a call gives. Runs begun by
        other threads and tasks are as ever, also while the block lasts. Blocks nest; with `model=`
        there is no `fallback`, unless it is given too.

        Gives:
            The agent that runs instead.

        Raises:
            ConfigError: it has no such field, or it cannot be that.
        """
        from understudy.runtime.overriding import overriding

        return overriding(self, changes)

    def as_tool(
        self,
        name: str | None = None,
        description: str | None = None,
        *,
        requires_approval: bool = False,
    ) -> AgentTool:
        """This agent as a tool of another one: `Agent(..., tools=[helper.as_tool("search")])`.

        It is given a prompt and answers with its text. It inherits deadline, budget and
        cancellation of the run that calls it, and holds no tool's place while it waits.

        Args:
            name: what the model calls; the agent's own name unless given.
            description: when to call it, for the model.
            requires_approval: somebody has to agree before it is called.

        Raises:
            ConfigError: neither has a name, or it is one that providers refuse.
        """
        name = name or self.name
        if name is None:
            raise ConfigError('agent.as_tool(): give a name, as in as_tool("search")')
        from understudy.actors.tools.describe import check_name

        check_name(name, "agent.as_tool('...')")
        return AgentTool(
            name=name,
            description=description or f"Asks the agent {name}; give it all that it has to know.",
            agent=self,
            requires_approval=requires_approval,
        )

    @overload
    def run(self, prompt: str = ..., *, output: type[S], **options: Any) -> Result[S]: ...
    @overload
    def run(self, prompt: str = ..., *, output: Any, **options: Any) -> Result[Any]: ...
    @overload
    def run(
        self, prompt: str = ..., *, runtime: Runtime | None = ..., **options: Any
    ) -> Result[T_co]: ...
    def run(
        self, prompt: str = "", *, runtime: Runtime | None = None, **options: Any
    ) -> Result[Any]:  # Any: see above
        """Run once; blocks the calling thread.

        Raises:
            WouldDeadlockError: on the loop of the runtime; use `await agent.arun(...)`.
            ModelError, DeadlineExceededError, OverloadedError: what went wrong.
            BudgetExceededError: a budget or `max_turns` is used up; `.partial` is what there is.
        """
        result: Result[Any] = current_runtime(runtime).run(self, prompt, **options)
        return result

    @overload
    async def arun(self, prompt: str = ..., *, output: type[S], **options: Any) -> Result[S]: ...
    @overload
    async def arun(self, prompt: str = ..., *, output: Any, **options: Any) -> Result[Any]: ...
    @overload
    async def arun(
        self, prompt: str = ..., *, runtime: Runtime | None = ..., **options: Any
    ) -> Result[T_co]: ...
    async def arun(
        self, prompt: str = "", *, runtime: Runtime | None = None, **options: Any
    ) -> Result[Any]:  # Any: see above
        """The twin of `run`; cancelling the task that awaits it cancels the run."""
        result: Result[Any] = await current_runtime(runtime).submit(self, prompt, **options).reply
        return result

    @overload
    def submit(self, prompt: str = ..., *, output: type[S], **options: Any) -> Run[Result[S]]: ...
    @overload
    def submit(self, prompt: str = ..., *, output: Any, **options: Any) -> Run[Result[Any]]: ...
    @overload
    def submit(
        self, prompt: str = ..., *, runtime: Runtime | None = ..., **options: Any
    ) -> Run[Result[T_co]]: ...
    def submit(
        self, prompt: str = "", *, runtime: Runtime | None = None, **options: Any
    ) -> Run[Result[Any]]:  # Any: see above
        """Start a run and return at once."""
        return current_runtime(runtime).submit(self, prompt, **options)

    @overload
    def stream(self, prompt: str = ..., *, output: type[S], **options: Any) -> Stream[S]: ...
    @overload
    def stream(self, prompt: str = ..., *, output: Any, **options: Any) -> Stream[Any]: ...
    @overload
    def stream(
        self, prompt: str = ..., *, runtime: Runtime | None = ..., **options: Any
    ) -> Stream[T_co]: ...
    def stream(
        self, prompt: str = "", *, runtime: Runtime | None = None, **options: Any
    ) -> Stream[Any]:  # Any: see above
        """Start a run whose text is read while it is made; see `Stream`.

        Beside what all verbs take: `buffer=`, `buffer_size=`, `flush_interval=`, `text_only=`,
        `retain=`; see `StreamOptions`.
        """
        rt = current_runtime(runtime)
        rt.check_blocking(
            "reading this stream here would stop the loop that fills it: "
            "use `async with agent.astream(...)`"
        )
        return rt.stream(self, prompt, **options)

    @overload
    def astream(self, prompt: str = ..., *, output: type[S], **options: Any) -> Stream[S]: ...
    @overload
    def astream(self, prompt: str = ..., *, output: Any, **options: Any) -> Stream[Any]: ...
    @overload
    def astream(
        self, prompt: str = ..., *, runtime: Runtime | None = ..., **options: Any
    ) -> Stream[T_co]: ...
    def astream(
        self, prompt: str = "", *, runtime: Runtime | None = None, **options: Any
    ) -> Stream[Any]:  # Any: see above
        """The twin of `stream`, for `async with` and `async for`."""
        return current_runtime(runtime).stream(self, prompt, **options)

    @overload
    def map(
        self,
        prompts: Iterable[str],
        *,
        max_concurrent: int = ...,
        on_error: Literal["fail_fast"] = ...,
        ordered: bool = ...,
        runtime: Runtime | None = ...,
        **options: Any,
    ) -> list[Result[T_co]]: ...
    @overload
    def map(
        self,
        prompts: Iterable[str],
        *,
        max_concurrent: int = ...,
        on_error: Literal["collect"],
        ordered: bool = ...,
        runtime: Runtime | None = ...,
        **options: Any,
    ) -> list[Result[T_co] | Exception]: ...
    def map(
        self,
        prompts: Iterable[str],
        *,
        max_concurrent: int = 64,
        on_error: OnFailure = "fail_fast",
        ordered: bool = True,
        runtime: Runtime | None = None,
        **options: Any,
    ) -> list[Any]:
        """Run once for each prompt, at most `max_concurrent` at a time. Blocks.

        Args:
            prompts: what is asked.
            max_concurrent: runs at a time.
            on_error: `fail_fast`: the first failure cancels the rest and is raised; `collect`: it
                stands in the list in the place of a result.
            ordered: results in the order of the prompts; False: as they were completed.
            runtime: where.
            options: as for `run`.
        """
        rt = current_runtime(runtime)
        work = fan_out(
            prompts_of(prompts),
            lambda prompt: rt.arun(self, prompt, **options),
            max_concurrent,
            on_error=on_error,
            ordered=ordered,
        )
        return rt.complete(work, "agent.amap")

    @overload
    async def amap(
        self,
        prompts: Iterable[str],
        *,
        max_concurrent: int = ...,
        on_error: Literal["fail_fast"] = ...,
        ordered: bool = ...,
        runtime: Runtime | None = ...,
        **options: Any,
    ) -> list[Result[T_co]]: ...
    @overload
    async def amap(
        self,
        prompts: Iterable[str],
        *,
        max_concurrent: int = ...,
        on_error: Literal["collect"],
        ordered: bool = ...,
        runtime: Runtime | None = ...,
        **options: Any,
    ) -> list[Result[T_co] | Exception]: ...
    async def amap(
        self,
        prompts: Iterable[str],
        *,
        max_concurrent: int = 64,
        on_error: OnFailure = "fail_fast",
        ordered: bool = True,
        runtime: Runtime | None = None,
        **options: Any,
    ) -> list[Any]:
        """The twin of `map`."""
        rt = current_runtime(runtime)
        return await fan_out(
            prompts_of(prompts),
            lambda prompt: rt.arun(self, prompt, **options),
            max_concurrent,
            on_error=on_error,
            ordered=ordered,
        )

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
            prompts_of(prompts),
            size=size,
            max_concurrent=max_concurrent,
            options=options,
        )
