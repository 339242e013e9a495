"""`Agent`: a spec with verbs.

Frozen, cheap to make, safe to share between any number of concurrent runs. Which runtime runs it is
decided at each call (see `current`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from understudy.messages.agents import AgentSpec, Result
from understudy.messages.errors import ConfigError
from understudy.runtime.current import current_runtime
from understudy.runtime.fan_out import fan_out
from understudy.runtime.submit import with_changes

if TYPE_CHECKING:
    from understudy.runtime.runs import Run
    from understudy.runtime.runtime import Runtime
    from understudy.runtime.stream import Stream


class Agent(AgentSpec, frozen=True, kw_only=True):
    """An agent: `Agent("openai:gpt-5-mini", instructions="Be terse.")`; fields as in `AgentSpec`.

    All verbs take `runtime=`, `history=`, `timeout=` and any field of the agent as an override for
    this one call.
    """

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            msg = f"Agent(max_tokens={self.max_tokens}): at least 1 is needed"
            raise ConfigError(msg)
        if self.timeout is not None and self.timeout <= 0:
            msg = f"Agent(timeout={self.timeout}): more than 0 seconds are needed"
            raise ConfigError(msg)

    def with_(self, **changes: Any) -> Self:  # Any: fields of the agent
        """A changed copy."""
        changed: Self = with_changes(self, changes)
        return changed

    def run(self, prompt: str, *, runtime: Runtime | None = None, **options: Any) -> Result[Any]:
        """Run once; blocks the calling thread.

        Raises:
            WouldDeadlockError: on the loop of the runtime; use `await agent.arun(...)`.
            ModelError, DeadlineExceededError, OverloadedError: what went wrong.
        """
        result: Result[Any] = current_runtime(runtime).run(self, prompt, **options)
        return result

    async def arun(
        self, prompt: str, *, runtime: Runtime | None = None, **options: Any
    ) -> Result[Any]:
        """The twin of `run`; cancelling the task that awaits it cancels the run."""
        result: Result[Any] = await current_runtime(runtime).arun(self, prompt, **options)
        return result

    def submit(
        self, prompt: str, *, runtime: Runtime | None = None, **options: Any
    ) -> Run[Result[Any]]:
        """Start a run and return at once."""
        return current_runtime(runtime).submit(self, prompt, **options)

    def stream(self, prompt: str, *, runtime: Runtime | None = None, **options: Any) -> Stream[Any]:
        """Start a run whose text is read while it is made; `buffer_size=` bounds what waits."""
        rt = current_runtime(runtime)
        rt.check_blocking(
            "reading this stream here would stop the loop that fills it: "
            "use `async with agent.astream(...)`"
        )
        return rt.stream(self, prompt, **options)

    def astream(
        self, prompt: str, *, runtime: Runtime | None = None, **options: Any
    ) -> Stream[Any]:
        """The twin of `stream`, for `async with` and `async for`."""
        return current_runtime(runtime).stream(self, prompt, **options)

    def map(
        self,
        prompts: Iterable[str],
        *,
        max_concurrent: int = 64,
        runtime: Runtime | None = None,
        **options: Any,
    ) -> list[Result[Any]]:
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
    ) -> list[Result[Any]]:
        """The twin of `map`."""
        rt = current_runtime(runtime)
        items: Sequence[str] = list(prompts)
        return await fan_out(items, lambda prompt: rt.arun(self, prompt, **options), max_concurrent)
