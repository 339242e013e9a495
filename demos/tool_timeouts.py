"""Timeout Configuration: what happens when a tool does not come back."""

import asyncio
import importlib
import threading
import time
from collections.abc import Iterator

from claim import Claim, Switches, judged, main

from understudy import Agent, Runtime, ToolResult, run_tools, tool
from understudy.messages.chat import ToolCall
from understudy.testing import FakeModel, call


@tool
async def waits(seconds: float) -> str:
    """Wait on the loop."""
    await asyncio.sleep(seconds)
    return "done"


@tool
def blocks(seconds: float) -> str:
    """Block a thread, as web scraping does."""
    threading.Event().wait(seconds)
    return "done"


def hang(seconds: float) -> str:
    """Hang in a process of its own."""
    time.sleep(seconds)
    return "done"


def claims(switches: Switches) -> Iterator[Claim]:
    """A tool of each kind that takes longer than it may, and one that may take longer."""
    # The process imports the function, and cannot import what is only in __main__.
    hangs = tool(isolation="process")(importlib.import_module("tool_timeouts").hang)
    limit = switches.seconds(0.5, 0.1)
    late: dict[str, float] = {}
    with Runtime(shutdown=5.0):
        for each in (waits, blocks, hangs):
            quick = [ToolCall(id="1", name=each.name, arguments={"seconds": 0.0})]
            run_tools(quick, [each])  # a process is started, a thread is there
            slow = [ToolCall(id="2", name=each.name, arguments={"seconds": limit * 6})]
            begin = time.perf_counter()
            (result,) = run_tools(slow, [each], timeout=limit)
            late[str(each.isolation)] = time.perf_counter() - begin - limit
            check(result)
        fake = FakeModel([call("waits", seconds=limit * 2), "Done."])
        agent = Agent(switches.model_or(fake), tools=[waits], tool_timeout=limit * 4)
        ran = agent.run(f"Call waits with seconds={limit * 2}").tool_calls
    longer = [f"{each.duration:.2f} s, {each.error or 'no error'}" for each in ran]
    yield Claim(
        claimed="tools have a timeout, 5 s for fast ones, 60 s for slow ones",
        measured="a call that hangs is answered "
        + ", ".join(f"{over * 1000:.0f} ms ({kind})" for kind, over in late.items())
        + f" after its {limit:g} s; with tool_timeout={limit * 4:g} of the agent a call of "
        f"{limit * 2:g} s takes {', '.join(longer) or 'place if the model wants it'}",
        verdict=judged(max(late.values()) < 1.0),
        how="run_tools and an agent; what hung: the coroutine is cancelled, the thread left behind "
        "and replaced (Python cannot interrupt it), the process killed",
    )


def check(result: ToolResult) -> None:
    """It must have been ended by the timeout."""
    if result.error is None:
        raise RuntimeError(f"{result.name} came back in spite of its timeout")


if __name__ == "__main__":
    main("Timeout Configuration", claims)
