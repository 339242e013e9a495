"""Flush Intervals: later and fewer chunks, against CPU time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from statistics import mean
from typing import Any

from claim import Claim, Switches, cpu_seconds, judged, main

from understudy import Agent, Runtime
from understudy.testing import FakeModel

INTERVALS = (0.010, 0.100, 0.500)


def claims(switches: Switches) -> Iterator[Claim]:
    """A text at 1,000 words a second, read at each interval."""
    words = switches.size(2_000, 50)
    made: list[float] = []

    async def speak(_: Any) -> AsyncIterator[str]:  # Any: the conversation
        begin = time.perf_counter()
        for number in range(words):
            await asyncio.sleep(begin + number / 1000 - time.perf_counter())
            made.append(time.perf_counter())
            yield "word "

    agent = Agent(switches.model_or(FakeModel(speak)))
    cpu: dict[float, float] = {}
    chunks: dict[float, int] = {}
    delay: dict[float, float] = {}

    def read(interval: float) -> None:
        made.clear()
        chunks[interval] = heard = 0
        ages: list[float] = []
        with agent.stream("Tell a story", flush_interval=interval) as stream:
            for text in stream.text():
                now = time.perf_counter()
                chunks[interval] += 1
                count = text.count("word ")
                ages += [now - at for at in made[heard : heard + count]]
                heard += count
        delay[interval] = mean(ages) if ages else 0.0

    with Runtime():
        for interval in INTERVALS:
            cpu[interval] = cpu_seconds(partial(read, interval))

    def each(values: dict[float, float], unit: str, scale: float = 1.0) -> str:
        return ", ".join(f"{values[i] * scale:.0f} {unit} ({i * 1000:.0f} ms)" for i in INTERVALS)

    how = (
        f"{words:,} words at 1,000 a second; mean age of a word when it is read; CPU of the process"
    )
    yield Claim(
        claimed="shorter intervals: lower latency; longer ones: higher latency",
        measured="a word waits " + each(delay, "ms", 1000),
        verdict=judged(delay[0.010] < delay[0.100] < delay[0.500]),
        how=how,
    )
    yield Claim(
        claimed="shorter intervals: higher CPU usage; longer ones: lower, better throughput",
        measured=each({i: float(chunks[i]) for i in INTERVALS}, "chunks")
        + "; "
        + each(cpu, "ms of CPU", 1000)
        + " (the model's own clock included)",
        verdict=judged(cpu[0.010] > 1.1 * cpu[0.500]),
        how=how,
    )


if __name__ == "__main__":
    main("Flush Intervals", claims)
