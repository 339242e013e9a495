"""Expected Performance: the guide's table, line by line."""

import asyncio
import resource
from collections.abc import Iterator
from functools import partial
from typing import Any

from claim import Claim, Switches, judged, main, peak_mib, seconds

from understudy import Agent, Runtime, ToolMessage, Workflow, step
from understudy.testing import FakeModel, call


def lookup(key: str) -> str:
    """Look something up."""
    return key


async def search(messages: Any, latency: float) -> Any:  # Any: a conversation; a text or a call
    """A model that calls a tool, then answers; both together take `latency`."""
    await asyncio.sleep(latency / 2)
    return "Found." if isinstance(messages[-1], ToolMessage) else call("lookup", key="k")


def first_text(agent: Agent[str]) -> tuple[float, int]:
    """Seconds to the first text of a stream that is then read to its end, and its words."""
    with agent.stream("Tell a story") as stream:
        at = next(chunk.at for chunk in stream if chunk.delta)
        return at, len(stream.wait().text.split())


def resident() -> str:
    """What the whole process has had at most."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB resident"


def claims(switches: Switches) -> Iterator[Claim]:
    """The model takes the guide's lower bounds; measured is what we add, and how many fit in."""
    scale, many = switches.seconds(1.0, 0.02), switches.size(100, 5)
    ask = Agent(switches.model_or(FakeModel.echo(latency=0.5 * scale)))
    finder = switches.model_or(FakeModel(partial(search, latency=0.1 * scale)))
    steps = [step(f"s{n}", ask, "work") for n in range(3)]
    in_turn, at_once = Workflow.sequential("s", *steps), Workflow.parallel("p", *steps)
    words = switches.size(20_000, 200)
    talker = Agent(switches.model_or(FakeModel(lambda _: "word " * words)))
    rows: tuple[tuple[str, Any, float, int, int], ...] = (  # Any: an agent or a workflow
        ("simple query: 500-1000 ms, 100-200 req/s, 10-20 MB", ask, 0.5, 100, 20),
        ("streaming query: 50 ms TTFB, 1000+ chunks/s, 5-10 MB", talker, 0.0, 1000, 10),
        ("tool call: 100-500 ms, 200-500 ops/s, 5 MB", Agent(finder, tools=[lookup]), 0.1, 200, 5),
        ("sequential (3 steps): 1.5-3 s, 30-60 flows/s, 20-40 MB", in_turn, 1.5, 30, 40),
        ("parallel (3 steps): 0.5-1 s, 100-200 flows/s, 30-50 MB", at_once, 0.5, 100, 50),
    )
    with Runtime():
        for claimed, what, latency, rate, memory in rows:
            work: partial[Any]  # Any: what it gives is left
            if what is talker:
                alone, total = min(first_text(talker) for _ in range(3))
                work, unit = partial(first_text, talker), "words in one stream"
            else:
                what.run("warm up")
                alone = seconds(partial(what.run, "go"))
                work = partial(what.map, ["go"] * many, max_concurrent=many)
                total, unit = many, "at a time"
            work()  # what is made once is not counted
            reached, mib = total / seconds(work), peak_mib(work)
            ours = f", {(alone - latency * scale) * 1000:.1f} of it ours" * (not switches.model)
            yield Claim(
                claimed=claimed,
                measured=f"{alone * 1000:.1f} ms{ours}; {reached:,.0f}/s "
                f"with {total:,} {unit}, {mib:.1f} MiB for them all, {resident()}",
                verdict=judged(reached >= rate and mib <= memory),
                how=f"a model that takes {latency * scale:g} s; judged by the memory that is added",
            )


if __name__ == "__main__":
    main("Expected Performance", claims)
