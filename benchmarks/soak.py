"""A soak: everything at full load for some minutes, with faults, and what it leaves behind.

    python -m benchmarks.soak --minutes 30

Pools on the loop and on threads, agent runs, streams and workflows run at once while workers are
killed, handlers crash, requests time out and runs are cancelled; beside them agents with tools,
sessions and caches ask a provider in another process that resets, truncates and refuses, and the
configuration is reloaded. Once a second the resident set, the threads, the sockets and the open
files are read; their slopes over the second half are printed, and the ledger, which has to balance.
What is not flat, from two minutes on, is the exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import time

from benchmarks.soak_provider import OPTIONS, converse_for_ever, reload_for_ever
from benchmarks.soak_samples import Sample, sample, verdict

from understudy import Actor, Agent, Runtime, UnderstudyError, Workflow, step
from understudy.testing import FakeModel
from understudy.testing.provider_server.process import provider_process


class Echo(Actor):
    """Answers, crashes now and then, and is sometimes too slow."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def on_receive(self, message: int) -> int:
        """Answer, or not."""
        draw = self._chance.random()
        if draw < 0.001:
            raise ValueError("drawn")
        if draw < 0.01:
            await asyncio.sleep(0.05)
        return message


class Blocking(Actor):
    """The same on threads."""

    def on_receive(self, message: int) -> int:
        """Answer, or crash."""
        if message % 1000 == 999:
            raise ValueError("drawn")
        return message


class Counts:
    """What was done."""

    def __init__(self) -> None:
        self.asked = self.failed = self.runs = self.cancelled = self.killed = 0


async def ask_for_ever(rt: Runtime, stop: asyncio.Event, counts: Counts, seed: int) -> None:
    """Ask actors and pools, some of it with a deadline that is too short."""
    chance = random.Random(seed)
    loop_pool = await rt.apool(f"loop-{seed}", _echo(chance), size=(1, 4))
    thread_pool = await rt.apool(f"threads-{seed}", Blocking, size=(1, 4))
    number = 0
    while not stop.is_set():
        replies = []
        for _ in range(50):
            number += 1
            pool = loop_pool if chance.random() < 0.7 else thread_pool
            replies.append(pool.submit(number, timeout=0.02 if number % 100 == 0 else 30))
        for reply in replies:
            counts.asked += 1
            try:
                await reply
            except (UnderstudyError, ValueError):
                counts.failed += 1
        if chance.random() < 0.02:
            workers = [*loop_pool.workers, *thread_pool.workers]
            if workers:
                chance.choice(workers).kill()
                counts.killed += 1


def _count(value: list[str]) -> int:
    return len(value)


def _echo(chance: random.Random) -> object:
    from understudy import child

    return child(Echo, chance)


async def run_for_ever(rt: Runtime, stop: asyncio.Event, counts: Counts, seed: int) -> None:
    """Agents, streams and workflows, some of them cancelled."""
    chance = random.Random(seed)
    model = FakeModel.echo()
    agent = Agent(model)
    flow = Workflow.dag(
        "soak",
        step("split", str.split),
        step("each", agent, each="{split}", after="split", max_concurrent=3),
        step("join", _count, after="each"),
    )
    while not stop.is_set():
        counts.runs += 1
        model.requests.clear()  # it keeps what it was asked, for tests
        draw = chance.random()
        if draw < 0.5:
            await agent.arun("some words to say again", runtime=rt)
        elif draw < 0.7:
            async with agent.astream("one two three", runtime=rt) as stream:
                async for _ in stream:
                    if draw < 0.6:
                        break
        else:
            run = flow.submit("a b c d", runtime=rt)
            if draw > 0.95:
                counts.cancelled += 1
                run.cancel()
            try:
                await run
            except UnderstudyError:
                counts.failed += 1


async def soak(minutes: float) -> list[str]:
    """Load, sample, print; gives what was not as it should be."""
    stop, counts, samples = asyncio.Event(), Counts(), list[Sample]()
    outcomes: dict[str, int] = {}
    begin = time.monotonic()
    async with provider_process(*OPTIONS) as provider, Runtime(name="soak") as rt:
        async with asyncio.TaskGroup() as load:
            for seed in range(4):
                load.create_task(ask_for_ever(rt, stop, counts, seed))
                load.create_task(run_for_ever(rt, stop, counts, seed + 100))
                talk = converse_for_ever(rt, stop, outcomes, f"{provider.url}/v1", seed + 200)
                load.create_task(talk)
            load.create_task(reload_for_ever(rt, stop, outcomes))
            while time.monotonic() - begin < minutes * 60:
                await asyncio.sleep(1)
                samples.append(sample(time.monotonic() - begin))
            stop.set()
        health = rt.health()
        report = await rt.astop()
    gc.collect()
    seconds = time.monotonic() - begin
    ledger = report.ledger
    print(f"{seconds:.0f} s, {ledger.accepted:,} messages ({ledger.accepted / seconds:,.0f}/s), ")
    print(f"  {counts.asked:,} jobs, {counts.runs:,} runs, {counts.cancelled:,} cancelled, ")
    print(f"  {counts.killed:,} workers killed, {counts.failed:,} requests failed as drawn")
    said = ", ".join(f"{count:,} {name}" for name, count in sorted(outcomes.items()))
    print(f"  over sockets: {said}")
    wrong = verdict(samples, minutes=minutes)
    print(f"  ledger balanced: {ledger.balanced}; abandoned: {len(report.abandoned)}")
    print(f"  {ledger}")
    if not ledger.balanced or report.abandoned:
        wrong.append("the ledger does not balance, or something was abandoned")
    if not health.live or health.open_runs:
        wrong.append(f"at the end: {health}")
    return wrong


if __name__ == "__main__":
    import logging
    import sys

    logging.getLogger("understudy").setLevel(logging.CRITICAL)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=0.5)
    wrong = asyncio.run(soak(parser.parse_args().minutes))
    sys.exit("not flat: " + "; ".join(wrong) if wrong else 0)
