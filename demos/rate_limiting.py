"""Rate Limiting: ten requests a second, five at a time."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from claim import Claim, Switches, judged, main, seconds

from understudy import Agent, Limit, Runtime, ToolCall, run_tools, tool
from understudy.runtime.config.load import load_config
from understudy.testing import FakeModel


class Watch:
    """A model, or a tool, that writes down when it is asked, and by how many at a time."""

    def __init__(self, takes: float) -> None:
        self.takes, self.running, self.peak = takes, 0, 0
        self.starts: list[float] = []

    async def __call__(self, _: Any) -> str:  # Any: the conversation
        """Answer, after a while."""
        self.starts.append(time.perf_counter())
        self.running += 1
        self.peak = max(self.peak, self.running)
        await asyncio.sleep(self.takes)
        self.running -= 1
        return "done"


def busiest(starts: Sequence[float], window: float) -> int:
    """The most starts within any window of that length: not only within those of a clock."""
    return max((bisect_left(starts, at + window) - n for n, at in enumerate(starts)), default=0)


def claims(switches: Switches) -> Iterator[Claim]:
    """Many runs at once; what arrives at the model."""
    rate, runs = switches.size(10, 200), switches.size(35, 20)
    loose, smooth, slow = Watch(0.0), Watch(0.0), Watch(switches.seconds(0.2, 0.01))
    with Runtime(limits={"even:*": Limit(requests_per_second=rate, burst=1 / rate)}):
        by_name = Agent(switches.model_or(FakeModel(loose)), name="limited", rate_limit=rate)
        taken = seconds(lambda: by_name.map(["go"] * runs, max_concurrent=runs))
        by_account = Agent(FakeModel(smooth, name="even"))
        by_account.map(["go"] * runs, max_concurrent=runs)
        narrow = Agent(switches.model_or(FakeModel(slow)), name="narrow", max_concurrent=5)
        narrow.map(["go"] * runs, max_concurrent=runs)
    tools = Watch(switches.seconds(0.2, 0.01))
    config = load_config(f"[tools]\nrate_limit = {rate}\nmax_concurrent = 5", {})
    calls = [ToolCall(id=str(n), name="work", arguments={}) for n in range(runs)]
    with Runtime(config=config):
        run_tools(calls, [tool(name="work")(partial(tools, None))], max_concurrent=runs)
    most = busiest(loose.starts, 1.0) if loose.starts else round(runs / taken)
    yield Claim(
        claimed=f"WithRateLimit({rate}): {rate} requests a second",
        measured=f"{runs} runs at once took {taken:.2f} s; at most {most} began within any second: "
        f"the rate, and one second's worth of burst at the start. Limit(burst={1 / rate:g}) of the "
        f"account has none: at most {busiest(smooth.starts, 1.0)}",
        verdict="holds" if most <= rate + 1 else "in part" if most <= 2 * rate else "does not hold",
        how="agents of one name share the rate; starts recorded in the model; sliding window",
    )
    yield Claim(
        claimed="WithMaxConcurrent(5): at most 5 concurrent requests",
        measured=f"{slow.peak or 'an unknown number'} of {runs} at a time, the others waited",
        verdict=judged(slow.peak <= 5) if slow.peak else "not judged",
        how="counted inside the model, over all runs of agents with this name",
    )
    yield Claim(
        claimed=f"or in the configuration: [tools] rate_limit = {rate}, max_concurrent = 5",
        measured=f"at most {busiest(tools.starts, 1.0)} within a second, {tools.peak} at a time",
        verdict=judged(tools.peak <= 5) if busiest(tools.starts, 1) <= rate + 1 else "in part",
        how="counted inside a tool; over all tools of the runtime, with the same burst",
    )


if __name__ == "__main__":
    main("Rate Limiting", claims)
