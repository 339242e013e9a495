"""Basic Benchmarking: a run, and a stream, against a model that answers at once."""

import asyncio
import time
from collections.abc import Iterator

from claim import Claim, Switches, cpu_seconds, in_turns, main, peak_mib

from understudy import Agent, Runtime
from understudy.testing import FakeModel


async def asked(agent: Agent[str], times: int) -> float:
    """CPU microseconds of a run, awaited on the loop of the caller."""
    async with Runtime() as rt:
        for _ in range(times // 10 + 1):
            await rt.arun(agent, "Hello")
        begin = time.process_time()
        for _ in range(times):
            await rt.arun(agent, "Hello")
        return (time.process_time() - begin) / times * 1e6


def claims(switches: Switches) -> Iterator[Claim]:
    """As the guide's BenchmarkAgentRun and BenchmarkStreamingVsNonStreaming."""
    times = switches.size(2000, 10)
    agent = Agent(switches.model_or(FakeModel(lambda _: "Query answered.")))

    def run() -> None:
        for _ in range(times):
            agent.run("Query")

    def stream() -> None:
        for _ in range(times):
            with agent.stream("Query") as chunks:
                for _ in chunks:
                    pass
                chunks.wait()

    with Runtime():
        run()
        best = in_turns({work: work for work in (run, stream)}, switches.size(3, 1), cpu_seconds)
        bytes_each = peak_mib(run) * 2**20 / times
    each = {work: taken / times * 1e6 for work, taken in best.items()}
    on_loop = min(asyncio.run(asked(agent, times)) for _ in range(switches.size(3, 1)))
    yield Claim(
        claimed="the guide gives the benchmark and no figure",
        measured=f"{each[run]:.0f} us of CPU for agent.run from a thread, {on_loop:.0f} us for "
        f"`await agent.arun` on the runtime's own loop, {each[stream]:.0f} us for a stream "
        f"({each[stream] / each[run]:.1f} times a run); {bytes_each:.0f} bytes each",
        verdict="no figure",
        how=f"{times:,} runs, best of the rounds, CPU of the process; more, beside floors: "
        "python -m benchmarks.agents",
    )


if __name__ == "__main__":
    main("Basic Benchmarking", claims)
