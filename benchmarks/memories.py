"""Sessions: what a long one costs, how much less is sent, and that none sees another one's words.

    python -m benchmarks.memories [--quick]

Costs are CPU time of the process, in turns with what they are compared with; the floor is the same
agent without a session. Tokens are counted by the estimate that windows use. Exit code 0: every
target is reached.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec

from understudy import Agent, AssistantMessage, Memory, Runtime, SystemMessage, UserMessage
from understudy.actors.rules.tokens import estimate_tokens
from understudy.messages.chat import Message, text_of
from understudy.testing import FakeModel

ROUNDS = 9
RUNS = 300
AT_ONCE = 400
SAID = "What did we say about the harbour, and when does the next boat leave from there?"


class Row(msgspec.Struct, frozen=True):
    """One figure, and what is to be reached."""

    label: str
    measured: str
    reach: str = ""
    reached: bool = True

    def __str__(self) -> str:
        verdict = "" if not self.reach else "ok" if self.reached else "**short**"
        return f"| {self.label} | {self.measured} | {self.reach} | {verdict} |"


def turns(count: int) -> tuple[Message, ...]:
    """A conversation of so many turns."""
    said: list[Message] = []
    for number in range(count):
        said += [UserMessage(content=f"{number}: {SAID}"), AssistantMessage(content=SAID)]
    return tuple(said)


async def _costs(
    contenders: dict[str, Callable[[], Awaitable[object]]], runs: int
) -> dict[str, float]:
    """Microseconds of CPU a run, each contender in every round; the median."""
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    gc.collect()
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            begin = time.process_time()
            for _ in range(runs):
                await run()
            samples[name].append((time.process_time() - begin) / runs * 1e6)
    return {name: statistics.median(each) for name, each in samples.items()}


async def overhead(*, quick: bool) -> list[Row]:
    """A session of 2,000 turns beside one of 10, and beside no session at all."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for where, path in (("in the process", None), ("in a file", str(Path(folder) / "m.db"))):
            memory = Memory(path=path)
            agent = Agent(FakeModel(lambda _: SAID), memory=memory, history_limit=10)
            plain = agent.with_(memory=None)
            async with Runtime() as rt:
                sizes = {"short": 10, "long": 2_000}
                for session, count in sizes.items():
                    await memory.aappend(session, turns(count), runtime=rt)

                def turn(session: str, agent: Agent = agent) -> Callable[[], Awaitable[object]]:
                    return lambda: agent.arun(SAID, session=session)

                contenders = {each: turn(each) for each in sizes}
                contenders["none"] = lambda plain=plain: plain.arun(SAID)  # type: ignore[misc]
                cost = await _costs(contenders, 30 if quick else RUNS)
            ratio = cost["long"] / cost["short"]
            label = f"a turn after 2,000 turns over one after 10, `history_limit=10`, {where}"
            told = f"{ratio:.2f}x ({cost['long']:.0f} us; no session: {cost['none']:.0f} us)"
            rows.append(Row(label, told, "1.2x", ratio <= 1.2))
    return rows


async def tokens(*, quick: bool) -> list[Row]:
    """What is sent after 200 turns with the last ten messages, and with all of them."""
    del quick
    sent: dict[str, int] = {}
    system = True
    for name, limit in (("all", None), ("ten", 10)):
        fake = FakeModel(lambda _: SAID)
        agent = Agent(fake, instructions="Answer kindly.", history_limit=limit)
        async with Runtime() as rt:
            for number in range(201):
                await agent.arun(f"{number}: {SAID}", session="s", runtime=rt)
        last = fake.requests[-1].messages
        system = system and last[0] == SystemMessage(content="Answer kindly.")
        sent[name] = sum(estimate_tokens(text_of(each)) for each in last)
    fewer = 1 - sent["ten"] / sent["all"]
    told = f"{fewer:.1%} fewer ({sent['ten']} for {sent['all']})"
    return [
        Row("tokens sent after 200 turns, `history_limit=10` over all", told, "80 %", fewer >= 0.8),
        Row("the system message is still there", "yes" if system else "no", "yes", system),
    ]


async def crossings(*, quick: bool) -> list[Row]:
    """Turns of two tenants with two sessions each, at random, many at a time."""
    count, draw = 400 if quick else 4_000, random.Random(7)
    crossed = 0

    async def answer(messages: tuple[Message, ...]) -> str:
        nonlocal crossed
        told = {text_of(each).partition(" ")[0] for each in messages}
        crossed += len(told) != 1
        await asyncio.sleep(0)
        return text_of(messages[-1])

    agent = Agent(FakeModel(answer), history_limit=6)
    whose = [(tenant, session) for tenant in ("acme", "") for session in ("alice", "bob")]
    async with Runtime() as rt:

        async def turn(number: int) -> None:
            tenant, session = draw.choice(whose)
            said = f"{tenant}/{session} says {number}"
            await agent.arun(said, tenant=tenant, session=session, runtime=rt)

        for first in range(0, count, AT_ONCE):
            await asyncio.gather(*(turn(first + number) for number in range(AT_ONCE)))
    label = f"{count:,} turns of 2 tenants with 2 sessions, {AT_ONCE} at once: in a wrong session"
    return [Row(label, str(crossed), "0", not crossed)]


async def finding(*, quick: bool) -> list[Row]:
    """Recalls over many passages, by words alone; the second time from the cache."""
    count = 500 if quick else 5_000
    draw = random.Random(11)
    vocabulary = [f"word{n}" for n in range(2_000)]
    documents = {f"d{n}": " ".join(draw.choices(vocabulary, k=60)) for n in range(count)}
    memory = Memory()
    async with Runtime() as rt:
        begin = time.perf_counter()
        await memory.aingest(documents, runtime=rt)
        took = time.perf_counter() - begin
        questions = [" ".join(draw.choices(vocabulary, k=5)) for _ in range(50)]
        spent = []
        for _ in range(2):
            begin = time.perf_counter()
            for question in questions:
                await memory.arecall(question, runtime=rt)
            spent.append((time.perf_counter() - begin) / len(questions) * 1000)
    return [
        Row(f"taking in {count:,} documents of 60 words", f"{took:.2f} s"),
        Row("a recall among them; again, from the cache", f"{spent[0]:.2f} ms; {spent[1]:.3f} ms"),
    ]


def rows(*, quick: bool) -> Iterator[Row]:
    """All of them."""
    for measure in (overhead, tokens, crossings, finding):
        yield from asyncio.run(measure(quick=quick))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure less")
    quick = parser.parse_args().quick
    print("| measure | measured | reach | |\n|---|---|---|---|")
    reached = True
    for row in rows(quick=quick):
        print(row, flush=True)
        reached = reached and row.reached
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
