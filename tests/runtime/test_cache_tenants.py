"""No answer and no result ever crosses from one tenant to another, in whatever order they come."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from understudy import Agent, Cache, Runtime, tool
from understudy.actors.kernel.origins import origin_in_hand
from understudy.messages.chat import Message, ToolMessage
from understudy.testing import FakeModel, call

PROMPTS = ("What is it?", "what is it", "Please explain it", "Explain it.", "tool 1", "tool 2")
STEP = st.tuples(
    st.sampled_from(("", "a", "b")),
    st.sampled_from(("s1", "s2")),
    st.sampled_from(PROMPTS),
    st.integers(0, 3),
    st.sampled_from(("run", "stream", "cancel", "invalidate")),
)


def whose() -> str:
    """For whom the work in hand is."""
    origin = origin_in_hand()
    return "?" if origin is None else f"<{origin.tenant}>"


@tool(cache="5m", effects="none")
async def look(x: int) -> str:
    """Look."""
    await asyncio.sleep(0)
    return f"{whose()} {x}"


async def think(messages: tuple[Message, ...]) -> Any:
    """Answer with the name of the tenant, or have a tool do it."""
    for _ in range(2):
        await asyncio.sleep(0)
    last = messages[-1]
    if isinstance(last, ToolMessage):
        return last.content
    if str(last.content).startswith("tool"):
        return call("look", x=int(str(last.content)[-1]))
    return f"{whose()} {last.content}"


async def play(steps: list[tuple[str, str, str, int, str]], spec: Cache) -> None:
    """Do the steps beside one another, each a few turns of the loop after the one before."""
    agent = Agent(FakeModel(think), cache=spec, tools=[look])
    async with Runtime() as rt:

        async def one(tenant: str, session: str, prompt: str, verb: str) -> None:
            options: dict[str, Any] = {"tenant": tenant, "session": session}
            if verb == "invalidate":
                await rt.ainvalidate(tenant=tenant)
                return
            if verb == "stream":
                async with rt.stream(agent, prompt, flush_interval=0, **options) as stream:
                    text = await stream.acollect()
            else:
                run = rt.submit(agent, prompt, **options)
                if verb == "cancel":
                    await asyncio.sleep(0)
                    run.cancel()
                    return
                text = (await run).output
            assert text.startswith(f"<{tenant}>"), (tenant, prompt, text)

        tasks = []
        for tenant, session, prompt, pause, verb in steps:
            tasks.append(asyncio.ensure_future(one(tenant, session, prompt, verb)))
            for _ in range(pause):
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)


@settings(max_examples=25)
@given(
    st.lists(STEP, min_size=2, max_size=25),
    st.sampled_from((Cache(), Cache(semantic="strict"), Cache(semantic="embedding", max_size=2))),
)
def test_nothing_crosses_between_tenants(
    steps: list[tuple[str, str, str, int, str]], spec: Cache
) -> None:
    """Runs, streams, cancels and invalidations, exact and semantic: 0 crossings."""
    asyncio.run(play(steps, spec))
