"""Caches beside their floors: what a hit costs, what it saves, and whether the bounds hold.

    python -m benchmarks.caches [--quick] [--only NAME]

The floor of a hit is cachetools behind a lock, called without any actor. Hits are timed one by one
by the clock, so their p99 has the machine's pauses in it. The bytes of a full cache are those that
the process has really asked for (tracemalloc), beside what the cache says. Exit code 0: all is
reached.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import tracemalloc
from typing import Any

from benchmarks.caches_meaning import measure_meaning
from benchmarks.measure import (
    Line,
    Measure,
    Reach,
    Samples,
    Scale,
    run_on_loop,
)
from benchmarks.table import main
from cachetools import TLRUCache

from understudy import Agent, Runtime, ServerError, ToolCall, UserMessage, tool
from understudy.actors.caches.answers import AnswerQuestion, key_of
from understudy.actors.caches.entries import Entries, Entry, size_of
from understudy.messages.caches import CacheSpec, Lookup, Store
from understudy.messages.chat import AssistantMessage, Usage
from understudy.messages.models import Complete, Completion
from understudy.testing import FakeModel, call

HITS = 20_000
KEYS = 1_000_000
ASKS = 1_000
MIB = 1024 * 1024


def _percentiles(times: list[int]) -> tuple[float, float]:
    times.sort()
    return times[len(times) // 2] / 1e3, times[len(times) * 99 // 100] / 1e3


# -- a hit -----------------------------------------------------------------------------------------

_REQUEST = Complete(model="m", messages=(UserMessage(content="What is the capital of France?"),))
_ANSWER = Completion(
    message=AssistantMessage(content="The capital of France is Paris. " * 8),
    finish_reason="stop",
    usage=Usage(input_tokens=12, output_tokens=60),
    model="m",
    provider="bench",
)


class _Served:
    provider, account, durable = "bench", "account", False


def _question() -> AnswerQuestion:
    return AnswerQuestion(_REQUEST, lambda _: None, None, ttl=600.0, tenant="")  # type: ignore[arg-type,return-value]


async def _hits(count: int, *, keyed: bool) -> tuple[float, float]:
    async with Runtime() as rt:
        ref = rt.crew.caches.ref_of("answers", CacheSpec())
        key = key_of(_REQUEST, _Served(), "")
        await ref.request(Store(key=key, value=_ANSWER, question=_question()))
        times = []
        for _ in range(count):
            begin = time.perf_counter_ns()
            wanted = key_of(_REQUEST, _Served(), "") if keyed else key
            await ref.request(Lookup(key=wanted, question=_question()))
            times.append(time.perf_counter_ns() - begin)
    return _percentiles(times)


def _in_ten_minutes(key: bytes, value: object, now: float) -> float:
    del key, value
    return now + 600.0


def _bare(count: int) -> tuple[float, float]:
    lock, kept = threading.Lock(), TLRUCache(1000, _in_ten_minutes)
    kept[b"k"] = _ANSWER
    times = []
    for _ in range(count):
        begin = time.perf_counter_ns()
        with lock:
            kept[b"k"]
        times.append(time.perf_counter_ns() - begin)
    return _percentiles(times)


def measure_hits(scale: Scale) -> Samples:
    """One lookup after the other, from inside the loop."""
    found: dict[str, list[float]] = {}
    count = scale.of(HITS)
    for _ in range(scale.rounds):
        for name, pair in (
            ("bare", _bare(count)),
            ("hit", run_on_loop(lambda: _hits(count, keyed=False))),  # type: ignore[arg-type]
            ("keyed", run_on_loop(lambda: _hits(count, keyed=True))),  # type: ignore[arg-type]
        ):
            for label, value in zip(("p50", "p99"), pair, strict=True):  # type: ignore[arg-type]
                found.setdefault(f"{name} {label}", []).append(value)
    return found


# -- a tool ----------------------------------------------------------------------------------------


async def _slow(x: int) -> int:
    """Take 10 ms."""
    await asyncio.sleep(0.01)
    return x


def _think(messages: tuple[Any, ...]) -> str | list[ToolCall]:
    return "done" if len(messages) > 1 else [call("slow", x=1)]


def _run_with(made: Any, count: int) -> tuple[float, float]:  # Any: a tool
    """Milliseconds of a run, and of the tool call in it."""

    async def main() -> tuple[float, float]:
        async with Runtime() as rt:
            agent = Agent(FakeModel(_think), tools=[made])
            await rt.arun(agent, "?")
            runs = [await rt.arun(agent, "?") for _ in range(count)]
            return (
                sum(run.duration for run in runs) / count * 1e3,
                sum(run.tool_calls[0].duration for run in runs) / count * 1e3,
            )

    return run_on_loop(main)  # type: ignore[arg-type,return-value]


async def _instant(x: int) -> int:
    """Take no time."""
    return x


def measure_tools(scale: Scale) -> Samples:
    """A tool of 10 ms through `agent.run`: its part of the run, kept and not."""
    found: dict[str, list[float]] = {}
    count = scale.of(200)
    for _ in range(scale.rounds):
        for name, made in (
            ("none", tool(name="slow")(_instant)),
            ("called", tool(name="slow")(_slow)),
            ("kept", tool(name="slow", cache="5m")(_slow)),
        ):
            run, one = _run_with(made, count)
            found.setdefault(name, []).append(run)
            found.setdefault(f"{name} call", []).append(one)
    pairs = zip(found["kept call"], found["called call"], strict=True)
    found["faster"] = [100 * (1 - kept / called) for kept, called in pairs]
    return found


# -- single flight ---------------------------------------------------------------------------------


async def _together(*, fails: bool) -> float:
    asked = 0

    async def answer(messages: tuple[Any, ...]) -> str:
        nonlocal asked
        del messages
        asked += 1
        await asyncio.sleep(0.05)
        if fails:
            raise ServerError("down", status=500)
        return "here"

    async with Runtime() as rt:
        agent = Agent(FakeModel(answer), cache="10m", retries=0)
        runs = [rt.submit(agent, "?") for _ in range(ASKS)]
        await asyncio.gather(*(run.reply for run in runs), return_exceptions=True)
    return float(asked)


def measure_flights(scale: Scale) -> Samples:
    """Calls that 1,000 asks at once make."""
    found: dict[str, list[float]] = {"well": [], "failing": []}
    for _ in range(scale.rounds):
        found["well"].append(run_on_loop(lambda: _together(fails=False)))
        found["failing"].append(run_on_loop(lambda: _together(fails=True)))
    return found


# -- bounds ----------------------------------------------------------------------------------------


def measure_bytes(scale: Scale) -> Samples:
    """Distinct keys through 64 MiB: on the way, and at the end."""
    entries = Entries(10**9, 64 * MIB, lambda: 0.0, lambda *_: None)
    found: dict[str, list[float]] = {"said": [], "real": [], "flat": []}
    count = max(scale.of(KEYS), 300_000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1, count + 1):
        value = b"x" * 800 + b"%d" % number
        kept = Entry(value=value, size=size_of(value), at=0.0, ends=600.0 + number)
        entries.put(b"%032d" % number, kept)
        if number in (count // 2, count * 3 // 4, count):
            found["real"].append((tracemalloc.get_traced_memory()[0] - before) / MIB)
            found["said"].append(entries.currsize / MIB)
    tracemalloc.stop()
    real = found["real"]
    found["flat"].append(100 * (max(real) - min(real)) / max(real))
    return found


_ABSOLUTE_15, _ABSOLUTE_100 = Reach(15, absolute=True), Reach(100, absolute=True)
_NONE, _ONE = Reach(0, absolute=True), Reach(1, absolute=True)
MEASURES = (
    Measure(
        name="hits",
        run=measure_hits,
        lines=(
            Line(label="exact hit, p50", ours="hit p50", floor="bare p50", reach=_ABSOLUTE_15),
            Line(label="exact hit, p99", ours="hit p99", floor="bare p99", reach=_ABSOLUTE_100),
            Line(label="with its key, p50", ours="keyed p50", floor="bare p50"),
        ),
    ),
    Measure(
        name="tools",
        run=measure_tools,
        lines=(
            Line(label="run with a tool of 10 ms", ours="called", floor="none", unit="ms"),
            Line(label="run with it, kept", ours="kept", floor="none", unit="ms"),
            Line(label="the call in it, kept", ours="kept call", floor="called call", unit="ms"),
            Line(
                label="the call in it, faster than called",
                ours="faster",
                unit="%",
                reach=Reach(95, at_least=True, absolute=True),
            ),
        ),
    ),
    Measure(
        name="flights",
        run=measure_flights,
        lines=(
            Line(label="1,000 asks at once: calls", ours="well", unit="", reach=_ONE),
            Line(label="the same, failing: calls", ours="failing", unit="", reach=_ONE),
        ),
    ),
    Measure(
        name="bytes",
        run=measure_bytes,
        lines=(
            Line(
                label="1,000,000 keys through 64 MiB",
                ours="real",
                unit="MiB",
                reach=Reach(64 * 1.05, absolute=True),
            ),
            Line(label="what the cache says", ours="said", unit="MiB"),
            Line(
                label="difference on the way",
                ours="flat",
                unit="%",
                reach=Reach(5, absolute=True),
            ),
        ),
    ),
    Measure(
        name="meaning",
        run=measure_meaning,
        lines=(
            Line(
                label="strict lookup among 10,000",
                ours="strict",
                unit="ms",
                reach=Reach(0.5, absolute=True),
            ),
            Line(
                label="embedding lookup, 256 dimensions",
                ours="embedding",
                unit="ms",
                reach=Reach(0.5, absolute=True),
            ),
            Line(label="strict: paraphrases found", ours="strict hits", unit="%"),
            Line(label="strict: false hits", ours="strict false", unit="%", reach=_NONE),
            Line(label="embedding: paraphrases found", ours="embedding hits", unit="%"),
            Line(label="embedding: false hits", ours="embedding false", unit="%", reach=_NONE),
        ),
    ),
)


if __name__ == "__main__":
    sys.exit(main("benchmarks.caches", MEASURES, __doc__))
