"""Memory/RAG Caching: the same recall again."""

from collections.abc import Iterator
from functools import partial

from claim import Claim, Switches, in_turns, judged, main, seconds

from understudy import Agent, Runtime
from understudy.actors.rules.tokens import estimate_tokens
from understudy.runtime.config.load import load_config
from understudy.testing import FakeModel, ManualClock

CONFIGURATION = """
[memory]
provider = "memory"
connection = "inmemory"

[memory.rag]
max_tokens = 2000
cache_results = true
cache_ttl = "10m"
"""


def claims(switches: Switches) -> Iterator[Claim]:
    """The guide's configuration, over documents made for the occasion."""
    documents = {
        f"paper-{n}": f"# Paper {n}\n\n"
        + f"Mailboxes of kind {n} are bounded by number {n * 7}. " * 40
        for n in range(switches.size(500, 20))
    }
    clock = ManualClock()
    fake = FakeModel.echo()
    agent = Agent(switches.model_or(fake))
    question = "How are mailboxes of kind 7 bounded?"
    with Runtime(clock=clock, config=load_config(CONFIGURATION, {})) as rt:
        memory = rt.memory
        taken_in = seconds(partial(memory.ingest, documents))
        first = seconds(partial(memory.recall, question))
        again = in_turns({"": partial(memory.recall, question)}, switches.size(100, 5))[""]
        hits = memory.stats.recall_hits
        clock.advance(601.0)
        memory.recall(question)
        expired = memory.stats.recall_hits == hits
        memory.ingest({"paper-7": "# Paper 7\n\nMailboxes of kind 7 are not bounded any more."})
        changed = any("any more" in each.text for each in memory.recall(question))
        result = agent.run(question)
    shown = sum(estimate_tokens(passage.text) for passage in result.passages)
    saved = 1 - again / first
    yield Claim(
        claimed="cache_results = true, cache_ttl = '10m': recalls are cached",
        measured=f"{first * 1000:.2f} ms first, {again * 1000:.2f} ms again: {saved:.1%} less; "
        f"looked up anew after ten minutes: {expired}; a document that changed is found at once: "
        f"{changed}",
        verdict=judged(saved > 0.5 and expired and changed),
        how=f"{len(documents)} documents in the process ({taken_in:.2f} s to take them in), found "
        "by their words; best of the rounds. With an embedder a hit also saves its request",
    )
    yield Claim(
        claimed="max_tokens = 2000 bounds what is put before a prompt",
        measured=f"{len(result.passages)} passages of about {shown} tokens were shown to the model",
        verdict=judged(0 < shown <= 2000),
        how="Result.passages; estimated tokens",
    )


if __name__ == "__main__":
    main("Memory/RAG Caching", claims)
