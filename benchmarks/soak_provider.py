"""The part of the soak that has sockets: agents, tools, sessions, and a provider that fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator

from understudy import Agent, Runtime, UnderstudyError, tool
from understudy.runtime.config.load import load_config

FAULTS = "reset=0.01,reset-body=0.01,truncate=0.01,status-500=0.02,status-529=0.01,malformed=0.01"
OPTIONS = ("--faults", FAULTS, "--seed", "7", "--latency", "0.005")
"""Of the provider, as `understudy provider-server` takes them."""
LIMITS = '[limits."openai-compatible:*"]\nmax_concurrent = {}\n[runtime]\nthreads = {}'


@tool(effects="none", retries=1)
def lookup(word: str) -> str:
    """Look a word up, on a thread; fails now and then."""
    if random.random() < 0.05:
        raise ConnectionError(word)
    time.sleep(0.001)
    return word


def agents(url: str) -> Iterator[Agent]:
    """One of each kind."""
    yield Agent("openai-compatible:m", base_url=url, name="plain", timeout=10)
    yield Agent("openai-compatible:m", base_url=url, name="tools", tools=[lookup], timeout=10)
    yield Agent("openai-compatible:m", base_url=url, name="cached", cache="1s", temperature=0.0)


async def converse_for_ever(
    rt: Runtime, stop: asyncio.Event, outcomes: dict[str, int], url: str, seed: int
) -> None:
    """Runs, sessions, streams that are left early, deadlines that pass; each outcome is counted."""
    chance = random.Random(seed)
    kinds = list(agents(url))
    while not stop.is_set():
        agent, draw = chance.choice(kinds), chance.random()
        prompt = f"prompt {chance.randrange(50)}"
        try:
            if draw < 0.3:
                async with rt.stream(agent, prompt) as stream:
                    async for _ in stream:
                        if draw < 0.1:
                            break
            elif draw < 0.4:
                await rt.arun(agent, prompt, timeout=0.003)
            else:
                session = f"s{chance.randrange(20)}" if draw < 0.5 else None
                await rt.arun(agent, prompt, session=session)
            outcome = "answered"
        except UnderstudyError as error:
            outcome = type(error).__name__
        outcomes[outcome] = outcomes.get(outcome, 0) + 1


async def reload_for_ever(rt: Runtime, stop: asyncio.Event, outcomes: dict[str, int]) -> None:
    """Another configuration twice a second, as SIGHUP brings it."""
    number = 0
    while not stop.is_set():
        number += 1
        rt.reload(load_config(LIMITS.format(4 + number % 8, 16 + number % 16), {}))
        outcomes["reloaded"] = outcomes.get("reloaded", 0) + 1
        await asyncio.sleep(0.5)
