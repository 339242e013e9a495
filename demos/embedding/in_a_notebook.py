"""In a notebook: the cell's thread has a running loop already, and it is not ours.

`agent.run` works there all the same: it blocks the cell and not the loop that does the work, which
is in a thread of the process's default runtime. `await agent.arun` works as well. A runtime may be
entered in one cell and left in another.
"""

import asyncio

from understudy import Agent, Runtime
from understudy.runtime.default import stop_default

AGENT = Agent("local:extractive", max_tokens=30)


async def cells() -> None:
    """What a notebook's kernel does: cells, one after the other, on a loop that runs."""
    print(AGENT.run("A first cell. It blocks.").output)
    print((await AGENT.arun("A second cell. It awaits.")).output)
    rt = Runtime(name="notebook").__enter__()
    print(rt.run(AGENT, "A third cell. It has a runtime of its own.").output)
    rt.__exit__(None, None, None)


asyncio.run(cells())
stop_default()  # at exit it would end by itself
