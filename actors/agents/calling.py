"""The tool calls of one turn: all at once, results in the order of the calls.

Functions are called by the tools family, agents from here (see `delegating`). What goes wrong in a
tool is data for the model; what ends the run is raised. A turn in which a call waits for somebody's
approval makes the other calls, and then ends the run as data (`Pending`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from understudy.actors.agents.delegating import Delegates, failed
from understudy.actors.agents.hooking import hooked
from understudy.actors.agents.ports import Company, ToolTable
from understudy.actors.agents.progress import Progress
from understudy.actors.agents.telling import Telling
from understudy.actors.kernel.run_context import RunContext
from understudy.messages.agents import AgentTool, Pending, Resume, ToolRecord
from understudy.messages.chat import AssistantMessage, ToolCall, ToolMessage
from understudy.messages.errors import ConfigError, ToolError
from understudy.messages.tools import ToolResult

T = TypeVar("T")
R = TypeVar("R")


class Calling:
    """Calls the tools of one run.

    Args:
        company: the tools family, and who runs agents.
        run: is told of every call.

    Raises:
        ConfigError: something in `tools=` is no tool, or two have one name.
    """

    __slots__ = (
        "_company",
        "_context",
        "_delegates",
        "_run",
        "_table",
        "_telling",
        "declarations",
    )

    def __init__(self, company: Company, run: Progress) -> None:
        spec, sink = run.message.spec, run.message.sink
        self._company = company
        self._run = run
        # Shared by all calls of the run, and by the steps around it where there are some.
        context = run.message.context
        self._context = RunContext(run.origin.run_id or "", {}) if context is None else context
        self._telling = None if sink is None else Telling(sink)
        self._delegates = Delegates(company, run, self._telling)
        plain = tuple(each for each in spec.tools if not isinstance(each, AgentTool))
        self._table: ToolTable | None = company.tools.table(plain) if plain else None
        declared = () if self._table is None else self._table.declarations
        self.declarations = (*declared, *self._delegates.declarations)
        names = [each.name for each in self.declarations]
        if len(set(names)) < len(spec.tools) and len(self._delegates.declarations):
            names += [each.name for each in spec.tools if isinstance(each, AgentTool)]
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise ConfigError(f"two tools are named {double!r}; give one of them another name=")

    async def answer(self, turn: AssistantMessage) -> tuple[ToolMessage, ...] | Pending:
        """Call what the model asks for; Pending where somebody has to agree first."""
        hooks = self._run.message.spec.hooks
        ready: list[ToolCall | ToolResult] = list(turn.tool_calls)
        if hooks is not None:
            ready = [await self._before(call) for call in turn.tool_calls]
        waiting = [
            each for each in ready if isinstance(each, ToolCall) and self._needs_approval(each)
        ]
        if not waiting:
            return self._messages(turn, await self._all(ready))
        done = await self._all([each for each in ready if each not in waiting])
        before, resume = self._run.before, self._run.message.resume
        return Pending(
            calls=tuple(waiting),
            messages=(*before, *self._run.added, turn),
            done=tuple(done),
            turns=self._run.turns,
            before=len(before) if resume is None else resume.pending.before,
        )

    async def resume(self, resume: Resume) -> tuple[ToolMessage, ...]:
        """Go on with a turn that somebody has decided about."""
        pending = resume.pending
        turn = pending.messages[-1] if pending.messages else None
        if not isinstance(turn, AssistantMessage):
            raise ConfigError("resume=: its messages do not end with the tool calls that waited")
        ready = [
            failed(call, resume.rejected[call.id]) if call.id in resume.rejected else call
            for call in pending.calls
        ]
        results = {each.call_id: each for each in (*pending.done, *await self._all(ready))}
        missing = [call.name for call in turn.tool_calls if call.id not in results]
        if missing:
            raise ConfigError(f"resume=: nothing is known of the call of {missing[0]}")
        return self._messages(turn, [results[call.id] for call in turn.tool_calls])

    def _needs_approval(self, call: ToolCall) -> bool:
        name = call.name
        if call.problem is not None:
            return False  # it will not be called
        if name in self._delegates:
            return self._delegates.needs_approval(name)
        return self._table is not None and self._table.needs_approval(name)

    def _messages(
        self, turn: AssistantMessage, results: Sequence[ToolResult]
    ) -> tuple[ToolMessage, ...]:
        """What the model reads; every call of the turn has an answer, in order."""
        pairs = list(zip(turn.tool_calls, results, strict=True))
        self._run.records += tuple(
            ToolRecord(
                id=call.id,
                name=call.name,
                arguments=call.arguments,
                result=result.value,
                error=result.error,
                duration=result.duration,
                cached=result.cached,
            )
            for call, result in pairs
        )
        return tuple(
            ToolMessage(
                call_id=call.id,
                name=call.name,
                content=result.content,
                is_error=result.error is not None,
            )
            for call, result in pairs
        )

    # -- hooks -------------------------------------------------------------------------------------

    async def _before(self, call: ToolCall) -> ToolCall | ToolResult:
        try:
            instead: ToolCall | ToolResult | None = await hooked(
                self._run.message.spec.hooks, "before_tool", call
            )
        except ToolError as error:
            return failed(call, error.message)
        return call if instead is None else instead

    async def _after(self, call: ToolCall, result: ToolResult) -> ToolResult:
        hooks = self._run.message.spec.hooks
        if hooks is None:
            return result
        instead: ToolResult | None = await hooked(hooks, "after_tool", call, result)
        return result if instead is None else instead

    # -- all at once -------------------------------------------------------------------------------

    async def _all(self, ready: Sequence[ToolCall | ToolResult]) -> list[ToolResult]:
        """Make the calls; what is a result already stays as it is."""
        calls = [each for each in ready if isinstance(each, ToolCall)]
        plain = tuple(call for call in calls if call.name not in self._delegates)
        agents = [call for call in calls if call.name in self._delegates]
        if agents and plain:
            first, then = await _together(self._functions(plain), self._agents(agents))
        else:
            first = await self._functions(plain) if plain else ()
            then = await self._agents(agents) if agents else ()
        made = {
            id(call): await self._after(call, result)
            for call, result in (*zip(plain, first, strict=True), *zip(agents, then, strict=True))
        }
        return [made[id(each)] if isinstance(each, ToolCall) else each for each in ready]

    async def _functions(self, calls: tuple[ToolCall, ...]) -> Sequence[ToolResult]:
        if self._table is None:
            known = ", ".join(each.name for each in self.declarations)
            return [failed(call, f"there is no tool {call.name!r}, only {known}") for call in calls]
        spec, telling = self._run.message.spec, self._telling
        return await self._company.tools.call(
            self._table,
            calls,
            timeout=spec.tool_timeout,
            max_concurrent=spec.tool_concurrency,
            context=self._context,
            started=None if telling is None else telling.started,
            finished=None if telling is None else telling.finished,
        )

    async def _agents(self, calls: list[ToolCall]) -> Sequence[ToolResult]:
        bound = self._run.message.spec.tool_concurrency
        return await _bounded(calls, self._delegates.call, bound)


async def _bounded(items: Sequence[T], do: Callable[[T], Awaitable[R]], bound: int) -> Sequence[R]:
    """`do(item)` for each, so many at a time, in order; the first error cancels the rest."""
    if len(items) == 1:
        return [await do(items[0])]
    results: dict[int, R] = {}
    numbers = iter(range(len(items)))

    async def work() -> None:
        for number in numbers:
            results[number] = await do(items[number])

    await _together(*(work() for _ in range(min(bound, len(items)))))
    return [results[number] for number in range(len(items))]


async def _together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run coroutines beside one another; the first error cancels the rest and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
