"""Buffer Sizing: does a small buffer deliver sooner, and a large one more?"""

from collections.abc import Iterator
from functools import partial

from claim import Claim, Switches, cpu_seconds, in_turns, judged, main

from understudy import Agent, Runtime
from understudy.testing import FakeModel

SIZES = (25, 50, 100, 500, 1000)


def claims(switches: Switches) -> Iterator[Claim]:
    """One text at full speed through buffers of each size, without joining."""
    tokens = switches.size(20_000, 500)
    agent = Agent(switches.model_or(FakeModel(lambda _: ("word " for _ in range(tokens)))))
    first: dict[int, list[float]] = {size: [] for size in SIZES}
    waiting: dict[int, int] = {}
    words: dict[int, int] = {}

    def read(size: int) -> None:
        with agent.stream("Tell a story", buffer_size=size, flush_interval=0) as stream:
            first[size].append(next(chunk.at for chunk in stream if chunk.delta))
            words[size] = len(stream.wait().text.split())  # reads the rest; raises what went wrong
            waiting[size] = stream.stats.peak

    with Runtime():
        works = {size: partial(read, size) for size in SIZES}
        best = in_turns(works, switches.size(9, 2), cpu_seconds)
    soon = {size: min(first[size]) * 1000 for size in SIZES}
    how = f"{tokens:,} one-word chunks at once, flush_interval=0; CPU time, best of 9, in turns"
    yield Claim(
        claimed="a small buffer (25-50) means low latency, fast delivery",
        measured="first chunk after "
        + ", ".join(f"{soon[size]:.1f} ms ({size})" for size in SIZES)
        + ": a chunk is delivered when it is there, whatever the size",
        verdict=judged(soon[1000] > 1.5 * soon[50]),
        how=how,
    )
    yield Claim(
        claimed="a large buffer (200-1000) means higher throughput",
        measured=", ".join(f"{words[size] / best[size]:,.0f} ({size})" for size in SIZES)
        + " words for a second of CPU; at most "
        + ", ".join(f"{waiting[size]}" for size in SIZES)
        + " chunks waited: that, memory, is what the size bounds",
        verdict=judged(best[50] > 1.2 * best[1000]),
        how=how,
    )


if __name__ == "__main__":
    main("Buffer Sizing", claims)
