"""Batch Processing: many prompts in one request."""

import json
from collections.abc import Iterator
from typing import Any

from claim import Claim, Switches, judged, main, seconds

from understudy import Agent, Runtime
from understudy.testing import FakeModel

RULES = "Answer with the sentiment: good or bad. " * 10


def answer(messages: Any) -> str:  # Any: the conversation
    """Stands for a model: it answers each of the requests by its id, or a single one."""
    asked = messages[-1].content.partition("\n\n")[2]
    if not asked:
        return "good"
    return json.dumps(
        {"items": [{"id": each["id"], "answer": "good"} for each in json.loads(asked)]}
    )


def claims(switches: Switches) -> Iterator[Claim]:
    """The same prompts one by one, at the same time, and in one request."""
    fake = FakeModel(answer, latency=switches.seconds(0.3, 0.01))
    agent = Agent(switches.model_or(fake), instructions=RULES)
    prompts = [f"I love number {n}" for n in range(20)]
    with Runtime():
        agent.run("warm up")
        one_by_one = [agent.run(prompt) for prompt in prompts[:1]]
        each = seconds(lambda: one_by_one.extend(agent.run(prompt) for prompt in prompts[1:]))
        each *= len(prompts) / (len(prompts) - 1)
        mapped = seconds(lambda: agent.map(prompts))
        before, batch = len(fake.requests), []
        together = seconds(lambda: batch.extend(agent.batch(prompts, size=20)))
        requests = len(fake.requests) - before if not switches.model else "fewer"
    alone = sum(result.usage.input_tokens for result in one_by_one)
    shared = sum(result.usage.input_tokens for result in batch)
    yield Claim(
        claimed="one call with all queries is efficient, a call for each is not",
        measured=f"{len(prompts)} prompts: {each:.2f} s in turn, {mapped:.2f} s with agent.map "
        f"(all at once), {together:.2f} s with agent.batch; input tokens {alone} and {shared}, "
        f"requests {len(prompts)} and {requests}. In time agent.map does as well, in tokens not",
        verdict=judged(together < each and shared < alone),
        how="answers of a batch are checked by their ids; one that does not fit is asked again",
    )


if __name__ == "__main__":
    main("Batch Processing", claims)
