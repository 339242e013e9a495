"""Memory Profiling: what a hundred runs leave behind."""

import gc
import tracemalloc
from collections.abc import Iterator

from claim import Claim, Switches, main, peak_mib

from understudy import Agent, Runtime
from understudy.testing import FakeModel


def claims(switches: Switches) -> Iterator[Claim]:
    """As the guide's TestMemoryUsage, and then ten times as many: is it a leak or a level?"""
    runs = switches.size(100, 10)
    fake = FakeModel.echo()
    agent = Agent(switches.model_or(fake))
    held: list[float] = []

    with Runtime() as rt:
        agent.run("Test query")
        tracemalloc.start()
        for times in (runs, runs * 10, runs * 10):
            fake.requests.clear()  # the fake remembers what it was asked
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(times):
                agent.run("Test query")
            fake.requests.clear()
            gc.collect()
            held.append((tracemalloc.get_traced_memory()[0] - before) / 1024)
        tracemalloc.stop()
        peak = peak_mib(lambda: agent.map(["Test query"] * runs, max_concurrent=runs)) * 1024
        actors = str(rt.tree()).count("\n")
    yield Claim(
        claimed="the guide gives the test and no figure",
        measured=f"{held[0]:.0f} KiB are held after {runs} runs, {held[1]:.0f} KiB more after "
        f"{runs * 10} more, {held[2]:.0f} KiB more after another {runs * 10}; {runs} at once need "
        f"{peak:.0f} KiB at most, {peak / runs:.1f} each ({actors} actors then)",
        verdict="no figure",
        how="Python's memory (tracemalloc), garbage collected before each look. Resident sets over "
        "minutes and millions of messages: python -m benchmarks.soak",
    )


if __name__ == "__main__":
    main("Memory Profiling", claims)
