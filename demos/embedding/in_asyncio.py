"""Inside of an asyncio program: hosted on its loop, without a thread hop.

`async with` puts the actors on the loop that runs already. What awaits a run is an ordinary task:
cancelling it cancels the work, and `asyncio.timeout` and task groups mean what they always mean.
"""

import asyncio

from understudy import Agent, Runtime

AGENT = Agent("local:extractive", max_tokens=30)


async def main() -> None:
    """Ten runs at once, and one that is cancelled by its group."""
    async with Runtime() as rt, asyncio.TaskGroup() as group:
        texts = [f"Text {number} is about actors. It is short." for number in range(10)]
        tasks = [group.create_task(rt.arun(AGENT, text)) for text in texts]
        async with asyncio.timeout(30):
            results = [await task for task in tasks]
        print(len(results), "results;", results[0].output)


asyncio.run(main())
