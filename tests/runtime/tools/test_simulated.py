import asyncio

import pytest

from understudy import Runtime, ToolCall, ToolResult, arun_tools, run_tools, tool
from understudy.actors.kernel.faults import Fault, Faults
from understudy.testing import SimRuntime

TOOLS = "/system/tools/*"
PLANS = [
    Faults(),
    Faults(crash=Fault(TOOLS, chance=0.2)),
    Faults(drop_reply=Fault(TOOLS, chance=0.2)),
    Faults(
        slow=Fault("/system/tools/Inline*", chance=0.3, seconds=(1, 60))
    ),  # threads would be left
    Faults(full_mailbox=Fault(TOOLS, chance=0.2)),
]


@tool(timeout=10, retries=1, max_concurrent=2)
async def wait(n: int) -> int:
    """Take some time."""
    await asyncio.sleep(n)
    return n


@tool(timeout=20, rate_limit=2)
def block(n: int) -> int:
    """On a thread, with a call inside."""
    (inner,) = run_tools([ToolCall(id="i", name="wait", arguments={"n": 1})], [wait])
    return n if inner.error is None else -1


@tool(timeout=5, parallel=False)
async def hang() -> None:
    """Never return."""
    await asyncio.Event().wait()


async def turn(rt: Runtime) -> list[ToolResult]:
    """Calls of all kinds at once."""
    calls = [
        ToolCall(id=str(n), name=name, arguments={} if name == "hang" else {"n": n})
        for n, name in enumerate(["wait", "block", "hang", "wait", "block", "wait", "nope"])
    ]
    return await arun_tools(calls, [wait, block, hang], runtime=rt, max_concurrent=3)


@pytest.mark.parametrize("plan", PLANS, ids=["none", "crash", "drop_reply", "slow", "full"])
def test_every_call_is_answered_whatever_goes_wrong(plan: Faults) -> None:
    """In order, with a value or an error; nothing hangs, and the account is empty at the end."""
    for seed in range(12):
        results = SimRuntime(seed, faults=plan).run(turn)
        assert [r.call_id for r in results] == [str(n) for n in range(7)]
        assert str(results[2].error) != "None"
        assert str(results[6].error).startswith("There is no tool named 'nope'")
        for n in (0, 1, 3, 4, 5):
            assert results[n].error is not None or results[n].value in (n, -1)
        if plan == Faults():
            assert [results[n].value for n in (0, 1, 3, 4, 5)] == [0, 1, 3, 4, 5]
