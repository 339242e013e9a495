"""Agents that are tools of another agent.

They are run from the loop of the agent that calls them, not by the tools family: so one that waits
for its own tools holds no tool's slot, and no bound can make nested agents wait for each other.
Deadline, cancellation and budgets are inherited as by everything that is asked while a message is
in hand. How an agent fails is data for the model that called it; what they used is added up.
"""

from __future__ import annotations

from typing import Any

from understudy.actors.agents.ports import Company
from understudy.actors.agents.progress import Progress
from understudy.actors.agents.telling import Telling
from understudy.messages.agents import AgentTool, Result
from understudy.messages.chat import ToolCall
from understudy.messages.errors import (
    ConfigError,
    RunCancelledError,
    RuntimeStoppedError,
    UnderstudyError,
    WorkflowComplete,
)
from understudy.messages.models import ToolDeclaration
from understudy.messages.tools import ToolResult

_PROMPT = {
    "type": "object",
    "properties": {"prompt": {"type": "string", "description": "what the agent shall do"}},
    "required": ["prompt"],
    "additionalProperties": False,
}


class Delegates:
    """The agents that one run may call.

    Args:
        company: who runs agents.
        run: is told what they used.
        telling: is told when they begin and end.
    """

    __slots__ = ("_company", "_run", "_telling", "_tools")

    def __init__(self, company: Company, run: Progress, telling: Telling | None) -> None:
        self._company = company
        self._run = run
        self._telling = telling
        tools = run.message.spec.tools
        self._tools = {each.name: each for each in tools if isinstance(each, AgentTool)}

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    @property
    def declarations(self) -> tuple[ToolDeclaration, ...]:
        """What the model is told."""
        return tuple(
            ToolDeclaration(
                name=each.name, description=each.description, parameters=_PROMPT, strict=True
            )
            for each in self._tools.values()
        )

    def needs_approval(self, name: str) -> bool:
        """Whether somebody has to agree before that agent is called."""
        return self._tools[name].requires_approval

    async def call(self, call: ToolCall) -> ToolResult:
        """Run one of them; its failure is a result.

        Raises:
            RunCancelledError, RuntimeStoppedError, ConfigError, WorkflowComplete: the caller's
                run ends too.
        """
        if self._telling is not None:
            await self._telling.started(call)
        prompt = call.arguments.get("prompt")
        if call.problem is not None:
            result = failed(call, call.problem)
        elif not isinstance(prompt, str) or len(call.arguments) != 1:
            result = failed(call, f"{call.name} takes one argument: prompt, a text")
        else:
            result = await self._run_agent(call, self._tools[call.name], prompt)
        if self._telling is not None:
            await self._telling.finished(result)
        return result

    async def _run_agent(self, call: ToolCall, tool: AgentTool, prompt: str) -> ToolResult:
        run = self._run
        begin = run.now()
        try:
            given: Result[Any] = await self._company.run_nested(
                tool.agent, prompt, run
            )  # Any: output's
        except (RunCancelledError, RuntimeStoppedError, ConfigError, WorkflowComplete):
            raise
        except UnderstudyError as error:
            partial = error.partial
            cost = partial.cost if isinstance(partial, Result) else None
            run.include(error.usage, 0.0 if error.usage is None else cost, error.attempts)
            told = f"{type(error).__name__}: {error.message}"
            return failed(call, told, run.now() - begin)
        run.include(given.usage, given.cost, given.attempts)
        duration = run.now() - begin
        if given.pending is not None:
            names = ", ".join(each.name for each in given.pending.calls)
            told = (
                f"{call.name} would need somebody's approval for {names}, which an agent that is "
                "used as a tool cannot wait for"
            )
            return failed(call, told, duration)
        return ToolResult(
            call_id=call.id,
            name=call.name,
            content=given.text,
            value=given.output,
            duration=duration,
            attempts=1,
        )


def failed(call: ToolCall, told: str, duration: float = 0.0) -> ToolResult:
    """The result of a call that came to nothing: what the model reads."""
    return ToolResult(call_id=call.id, name=call.name, content=told, error=told, duration=duration)
