"""Requests by the thousand, many of which meet a fault: what hangs, what leaks, what is misnamed.

    python -m benchmarks.faults --requests 20000

Agents of four protocols, whole and streamed, ask a `ProviderServer` in a process of its own. A part
of the requests goes to models called `fault-NAME`, another is cancelled, or its stream left, while
it is under way. Each must end as its fault says (`EXPECTED`), within its deadline. A fault may also
be felt by others: while nobody listens, while a gate is closed after a 429, while a breaker is
open. Such ends are counted apart, by name.

It fails (exit code 1) when a call ends in any other way or not at all, or when a task, a connection
or a message is left over.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator

import msgspec

from understudy import (
    Agent,
    BreakerOpenError,
    ConnectError,
    DeadlineExceededError,
    RateLimitError,
    ResponseError,
    Runtime,
    ServerError,
    StreamBrokenError,
    UnderstudyError,
)
from understudy.actors.models.transport import LeasedTransport
from understudy.testing.provider_server import ProviderProcess, provider_process

EXPECTED: dict[str, type[UnderstudyError] | None] = {
    "refuse": ConnectError,
    "reset": ConnectError,
    "reset-body": StreamBrokenError,
    "truncate": StreamBrokenError,
    "bad-chunk": StreamBrokenError,
    "blackhole": DeadlineExceededError,
    "drip": None,
    "status-429": RateLimitError,
    "status-500": ServerError,
    "status-503": ServerError,
    "status-529": ServerError,
    "malformed": ResponseError,
    "html": ResponseError,
    "bad-utf8": ResponseError,
    "huge": ResponseError,
    "stream-error": ServerError,
}
"""How a call to `fault-NAME` ends; None: with its answer."""
ELSEWHERE = (ConnectError, RateLimitError, BreakerOpenError)
"""How a call may end because of what befell others. A deadline is none: that would hide a stall."""
RARE = {"huge": 0.1, "refuse": 0.2, "status-429": 0.05}
"""Faults that slow everybody down are drawn less often."""
PROVIDERS = ("openai", "openai-responses", "anthropic", "ollama")
SHARE, LEFT = 0.12, 0.03
PATIENCE, BLACKHOLE_PATIENCE, HANG = 60.0, 0.5, 20.0


class Call(msgspec.Struct, frozen=True):
    """One request: of which protocol, streamed or not, and what shall happen to it."""

    provider: str
    stream: bool
    fault: str
    leave: bool


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What came out.

    Attributes:
        ends: calls by how they ended: `right`, `left`, or `wrong: …`, `elsewhere: …`, `hang`.
        faults: calls by the fault that they asked for.
        left_over: what should not be there any more, in words.
    """

    seconds: float
    ends: dict[str, int]
    faults: dict[str, int]
    left_over: list[str]
    connections: int
    peak: int

    @property
    def good(self) -> bool:
        """Nothing hung, nothing was misnamed, nothing is left over."""
        bad = [name for name in self.ends if name == "hang" or name.startswith("wrong")]
        return not bad and not self.left_over


def calls(count: int, seed: int) -> Iterator[Call]:
    """The calls of a run, the same for the same seed."""
    draw = random.Random(seed)
    names = list(EXPECTED)
    weights = [RARE.get(name, 1.0) for name in names]
    for _ in range(count):
        chance = draw.random()
        fault = draw.choices(names, weights)[0] if chance < SHARE else ""
        leave = SHARE <= chance < SHARE + LEFT
        yield Call(draw.choice(PROVIDERS), draw.random() < 0.5, fault, leave)


class Matrix:
    """One run: the agents, and the counts of how their calls ended."""

    def __init__(self, server: ProviderProcess, runtime: Runtime) -> None:
        self.ends: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._server = server
        self._runtime = runtime
        self._agents: dict[tuple[str, str], Agent] = {}

    async def run(self, work: Iterator[Call]) -> None:
        """Make one call after the other; several of these share the work."""
        for call in work:
            self.faults[call.fault or "none"] += 1
            try:
                async with asyncio.timeout(PATIENCE + HANG):
                    self.ends[await self._end(call)] += 1
            except TimeoutError:
                self.ends["hang"] += 1

    async def _end(self, call: Call) -> str:
        expected = EXPECTED[call.fault] if call.fault else None
        try:
            if call.leave:
                await self._leave(call)
                return "left"
            await self._ask(call)
        except UnderstudyError as error:
            return self._judged(call, expected, error)
        except Exception as error:  # noqa: BLE001 - counted, whatever it is
            return f"wrong: {call.provider} {call.fault} raised {error!r}"
        return "right" if expected is None else f"wrong: {call.provider} {call.fault} was answered"

    def _judged(
        self, call: Call, expected: type[UnderstudyError] | None, error: UnderstudyError
    ) -> str:
        if expected is not None and isinstance(error, expected):
            return "right"
        if isinstance(error, ELSEWHERE):
            return f"elsewhere: {type(error).__name__}"
        return f"wrong: {call.provider} {call.fault} raised {error!r}"

    async def _ask(self, call: Call) -> None:
        agent = self._agent(call)
        if call.stream:
            async with agent.astream("say this again", runtime=self._runtime) as stream:
                await stream.await_result()
        else:
            await agent.arun("say this again", runtime=self._runtime)

    async def _leave(self, call: Call) -> None:
        """Cancel a call while the server holds it, or leave its stream before its end."""
        agent = self._agent(call)
        if call.stream:
            async with agent.astream("say this again", runtime=self._runtime) as stream:
                async for chunk in stream:
                    if chunk.delta:
                        return
            return
        task = asyncio.ensure_future(agent.arun("say this again", runtime=self._runtime))
        await asyncio.sleep(0.002)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def _agent(self, call: Call) -> Agent:
        key = (call.provider, call.fault)
        agent = self._agents.get(key)
        if agent is None:
            openai = call.provider.startswith("openai")
            agent = self._agents[key] = Agent(
                f"{call.provider}:{'fault-' + call.fault if call.fault else 'm'}",
                base_url=self._server.base_url if openai else self._server.url,
                api_key="k",
                timeout=BLACKHOLE_PATIENCE if call.fault == "blackhole" else PATIENCE,
            )
        return agent


async def measure(count: int, *, seed: int = 0, workers: int = 128) -> Figures:
    """Make that many calls, `workers` at a time, and look at what is left."""
    tasks = asyncio.all_tasks()
    async with provider_process() as server:
        transport = LeasedTransport()
        runtime = Runtime(name="faults", transport=transport, seed=seed)
        begin = time.monotonic()
        async with runtime:
            matrix = Matrix(server, runtime)
            work = calls(count, seed)
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(matrix.run(work))
        seconds = time.monotonic() - begin
        left_over = [f"lent connections: {transport.stats.lent}"] if transport.stats.lent else []
        await transport.aclose()
        stats = await _settled(server)
        if stats.connections.open > 1:  # the one that asks
            left_over.append(f"{stats.connections.open - 1} connections open at the server")
        if transport.stats.open:
            left_over.append(f"{transport.stats.open} sockets open here")
        if not runtime.ledger.balanced or runtime.ledger.running or runtime.ledger.queued:
            left_over.append(f"messages: {runtime.ledger}")
    left_over += [f"task {task!r}" for task in asyncio.all_tasks() - tasks]
    return Figures(
        seconds=seconds,
        ends=dict(matrix.ends),
        faults=dict(matrix.faults),
        left_over=left_over,
        connections=stats.connections.total,
        peak=stats.connections.peak,
    )


async def _settled(server: ProviderProcess):  # noqa: ANN202 - of the testing kit
    """The server's counts, once it has heard of every closed socket."""
    for _ in range(50):
        stats = await server.stats()
        if stats.connections.open <= 1:
            break
        await asyncio.sleep(0.1)
    return stats


def show(figures: Figures) -> None:
    """Print what came out."""
    total = sum(figures.ends.values())
    print(
        f"{total:,} calls in {figures.seconds:.1f} s ({total / figures.seconds:,.0f}/s), ", end=""
    )
    print(f"{figures.connections:,} connections, at most {figures.peak:,} at a time")
    faults = ", ".join(f"{name} {count:,}" for name, count in sorted(figures.faults.items()))
    print(f"  asked for: {faults}")
    for name, count in sorted(figures.ends.items(), key=lambda item: -item[1]):
        print(f"  {name}: {count:,}")
    print(f"  hangs: {figures.ends.get('hang', 0)}; left over: {figures.left_over or 'nothing'}")


def main() -> int:
    """Run from the command line."""
    logging.getLogger("understudy").setLevel(logging.CRITICAL)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=128)
    given = parser.parse_args()
    figures = asyncio.run(measure(given.requests, seed=given.seed, workers=given.workers))
    show(figures)
    return 0 if figures.good else 1


if __name__ == "__main__":
    sys.exit(main())
