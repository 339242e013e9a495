"""Tools beside their floors: what a call costs over its function, what a turn costs an agent.

    python -m benchmarks.tools [--quick] [--only NAME]

The floor of a call on the loop is a task that awaits the function, which is the least that can be
cancelled at a timeout; that of a call on a thread is a round trip through two bare queues; that of
a run with a tool call (two turns of a model that answers at once) is a run without one. Calls are
timed in CPU time, which others disturb least; the turn with slow tools is timed by the clock. Exit
code 0: all is reached.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from benchmarks.measure import (
    Line,
    Measure,
    Reach,
    Samples,
    Scale,
    in_us,
    run_on_loop,
    take_turns,
)
from benchmarks.table import main

from understudy import Agent, AssistantMessage, Runtime, ToolCall, Usage, UserMessage, tool
from understudy.messages.models import Complete, Completion, FinishReason
from understudy.testing import FakeModel, call

CALLS = 5_000
RUNS = 2_000


@tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
def add_on_thread(a: int, b: int) -> int:
    """Add, on a thread."""
    return a + b


async def wait() -> str:
    """Take a while."""
    await asyncio.sleep(0.3)
    return "done"


class Instant:
    """A model that answers at once, by calling the tool first if it has its name."""

    name = "instant"

    def __init__(self, calls: str | None) -> None:
        asked = ToolCall(id="1", name=calls or "", arguments={"a": 1, "b": 2})
        self._first = _completion(AssistantMessage(tool_calls=(asked,)), "tool_calls")
        self._last = _completion(AssistantMessage(content="3"), "stop")
        self._calls = calls is not None

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """The next turn."""
        del timeout
        asked = self._calls and isinstance(request.messages[-1], UserMessage)
        return self._first if asked else self._last

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[Completion, None]:
        """The same, in one piece."""
        yield await self.complete(request, timeout=timeout)

    async def aclose(self) -> None:
        """Nothing to let go of."""


def _completion(message: AssistantMessage, why: FinishReason) -> Completion:
    return Completion(
        message=message, finish_reason=why, usage=Usage(), model="instant", provider="instant"
    )


Once = Callable[[], Awaitable[Any]]  # Any: nobody looks at it


async def _each(once: Once, count: int) -> float:
    for _ in range(count // 10):
        await once()
    begin = time.process_time()
    for _ in range(count):
        await once()
    return (time.process_time() - begin) / count


def _hosted(make: Callable[[Runtime], Once], count: int) -> float:
    async def main() -> float:
        async with Runtime() as rt:
            return await _each(make(rt), count)

    return run_on_loop(main)


def _call(of: Any) -> Callable[[Runtime], Once]:  # Any: a tool
    def make(rt: Runtime) -> Once:
        table = rt.crew.tools.table((of,))
        calls = (ToolCall(id="1", name=of.name, arguments={"a": 1, "b": 2}),)

        def once() -> Awaitable[Any]:
            return rt.crew.tools.call(table, calls, timeout=None, max_concurrent=8, context=None)

        return once

    return make


def _bare_task(_: Runtime) -> Once:
    return lambda: asyncio.ensure_future(add(1, 2))


def _bare_thread(count: int) -> float:
    there: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    back: queue.SimpleQueue[int] = queue.SimpleQueue()

    def serve() -> None:
        while (number := there.get()) is not None:
            back.put(add_on_thread(number, 2))

    thread = threading.Thread(target=serve)
    thread.start()
    begin = time.process_time()
    for _ in range(count):
        there.put(1)
        back.get()
    taken = (time.process_time() - begin) / count
    there.put(None)
    thread.join()
    return taken


def measure_calls(scale: Scale) -> Samples:
    """One call after the other, through the directory and without."""
    count = scale.of(CALLS)
    return in_us(
        take_turns(
            {
                "task": lambda: _hosted(_bare_task, count),
                "queues": lambda: _bare_thread(count),
                "inline": lambda: _hosted(_call(add), count),
                "thread": lambda: _hosted(_call(add_on_thread), count),
            },
            scale,
        )
    )


def _agent(of: Any, *, calls: bool) -> Callable[[Runtime], Once]:  # Any: a tool
    agent = Agent(Instant(of.name if calls else None), tools=[of])
    return lambda rt: lambda: rt.arun(agent, "1 + 2?")


def measure_runs(scale: Scale) -> Samples:
    """An agent's run, with one tool call and without any."""
    count = scale.of(RUNS)
    return in_us(
        take_turns(
            {
                "none": lambda: _hosted(_agent(add, calls=False), count),
                "inline": lambda: _hosted(_agent(add, calls=True), count),
                "thread": lambda: _hosted(_agent(add_on_thread, calls=True), count),
            },
            scale,
        )
    )


def _turn(**options: Any) -> float:  # Any: options of the agent
    async def main() -> float:
        async with Runtime() as rt:
            model = FakeModel([[call("wait")] * 3, "done"])
            begin = time.perf_counter()
            await rt.arun(Agent(model, tools=[wait], **options), "?")
            return time.perf_counter() - begin

    return run_on_loop(main) * 1e3


def measure_turn(scale: Scale) -> Samples:
    """Three tools of 300 ms in one turn."""
    return take_turns({"turn": _turn, "cut": lambda: _turn(tool_timeout=0.05)}, scale)


MEASURES = (
    Measure(
        name="calls",
        run=measure_calls,
        lines=(
            Line(label="async tool", ours="inline", floor="task", reach=Reach(5)),
            Line(label="thread tool", ours="thread", floor="queues", reach=Reach(10)),
        ),
    ),
    Measure(
        name="runs",
        run=measure_runs,
        lines=(
            Line(
                label="run of an agent with an async tool",
                ours="inline",
                floor="none",
                reach=Reach(120, absolute=True),
            ),
            Line(
                label="run of an agent with a thread tool",
                ours="thread",
                floor="none",
                reach=Reach(300, absolute=True),
            ),
        ),
    ),
    Measure(
        name="turn",
        run=measure_turn,
        lines=(
            Line(
                label="three tools of 300 ms",
                ours="turn",
                unit="ms",
                reach=Reach(310, absolute=True),
            ),
            Line(
                label="the same, tool_timeout=0.05",
                ours="cut",
                unit="ms",
                reach=Reach(70, absolute=True),
            ),
        ),
    ),
)


if __name__ == "__main__":
    sys.exit(main("benchmarks.tools", MEASURES, __doc__))
