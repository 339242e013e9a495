"""Points about what models say: streams, buffers, token and rate limits, models, connections."""

from __future__ import annotations

from fnmatch import fnmatchcase
from importlib.util import find_spec

from understudy.actors.rules.prices import Prices
from understudy.runtime.edge.doctor.facts import IN_PROCESS, Facts
from understudy.runtime.edge.doctor.point import Change, Point, judged, unknown

LONG = 1_000
"""Tokens: the guide's bound on an answer that shall stay small."""
LONGEST = 2_000
"""Tokens of the longest answer that the guide speaks of; it takes about 8 s."""
BUFFERS = {
    "real-time UI": (25, 50),
    "interactive chat": (50, 100),
    "data processing": (200, 500),
    "batch operations": (500, 1_000),
}
FLUSH = (0.01, 0.5)


def streaming(facts: Facts) -> Point:
    """Use streaming for long responses."""
    config = facts.config
    long = [
        name
        for name, agent in config.agents.items()
        if (agent.max_tokens or config.llm.max_tokens or LONG + 1) > LONG
    ]
    found = [f"answers may be longer than {LONG:,} tokens: {', '.join(long)}"] if long else []
    if config.agents and not long:
        found = [f"no agent answers with more than {LONG:,} tokens"]
    return unknown(
        found,
        "stream what may be long, and process it chunk by chunk",
        "in code: agent.stream(...) instead of agent.run(...); the CLI's run waits for answers",
    )


def buffers(facts: Facts) -> Point:
    """Configure appropriate buffer sizes."""
    size, flush = facts.config.streaming.buffer_size, facts.config.streaming.flush_interval
    keys = ("buffer_size", "flush_interval", "text_only")
    found = [facts.said("streaming", key) for key in keys]
    kinds = [name for name, (least, most) in BUFFERS.items() if least <= size <= most]
    if kinds:
        found.append(f"{size} chunks are the guide's size for {' and '.join(kinds)}")
    changes = []
    if not 25 <= size <= 1_000:
        why = "the guide's sizes lie between 25 and 1000"
        changes.append(Change(key="streaming.buffer_size", value="100", why=why))
    if not FLUSH[0] <= flush <= FLUSH[1]:
        why = "the guide's intervals lie between 10ms and 500ms"
        changes.append(Change(key="streaming.flush_interval", value='"100ms"', why=why))
    ranges = "; ".join(f"{name} {least}-{most}" for name, (least, most) in BUFFERS.items())
    return judged(found, f"{ranges}; 100 by default, flushed every 10, 100 or 500 ms", changes)


def token_limits(facts: Facts) -> Point:
    """Set reasonable token limits."""
    config = facts.config
    found, changes = [facts.said("llm", "max_tokens")], []
    owners: dict[tuple[str, ...], int | None] = {
        ("agents", name): agent.max_tokens for name, agent in config.agents.items()
    }
    found += [facts.said(*owner, "max_tokens") for owner, own in owners.items() if own is not None]
    limits = {**owners, ("llm",): config.llm.max_tokens}
    if config.llm.max_tokens is None and None in limits.values():
        bare = [owner[1] for owner, limit in owners.items() if limit is None]
        whose = f"for {', '.join(bare)}" if bare else "for agents that have none of their own"
        if bare or not owners:
            why = f"nothing bounds the answers {whose}"
            changes.append(Change(key="llm.max_tokens", value=str(LONG), why=why))
    for owner, limit in limits.items():
        if limit is not None and limit > LONGEST:
            key = ".".join((*owner, "max_tokens"))
            why = f"{limit:,} is more than the guide's longest answer"
            changes.append(Change(key=key, value=str(LONGEST), why=why))
    for name in config.agents:
        for key in ("history_limit", "context_window"):
            if facts.value("agents", name, key) is not None:
                found.append(facts.said("agents", name, key))
    advice = "100 tokens take about 0.5 s, 500 about 2 s, 2,000 about 8 s; 1,000 as a bound"
    return judged(found, f"{advice}; history_limit 10, context_window 4000", changes)


def rate_limits(facts: Facts) -> Point:
    """Implement rate limiting."""
    config = facts.config
    found, changes = [], []
    remote = {
        model: agents
        for model, agents in facts.models.items()
        if model.partition(":")[0] not in IN_PROCESS
    }
    for model, agents in remote.items():
        pattern = next((each for each in config.limits if fnmatchcase(model, each)), None)
        bare = [
            name
            for name in agents
            if config.agents[name].rate_limit is None and config.agents[name].max_concurrent is None
        ]
        if pattern is not None:
            found.append(f'{model}: limits."{pattern}"')
        elif agents and not bare:
            found.append(f"{model}: by the agents' own rate_limit and max_concurrent")
        else:
            found.append(f"{model}: nothing bounds it before its provider says 429")
            key = f'limits."{model.partition(":")[0]}:*"'
            why = f"for {model}; the account's own numbers"
            change = Change(key=f"{key}.max_concurrent", value="5", why=why)
            changes.append(change)
    if not remote:
        found.append("no model of a provider is named, so there is no account to protect")
    found += [facts.said("tools", key) for key in ("rate_limit", "max_concurrent")]
    return judged(found, "10 requests a second and 5 at a time, as an example", changes)


def models(facts: Facts) -> Point:
    """Use appropriate models for tasks."""
    prices = Prices(facts.config.prices)
    found = []
    for model, agents in facts.models.items():
        provider, _, name = model.partition(":")
        price = prices.of(provider, name)
        cost = "no price known"
        if price is not None:
            cost = f"${price.input:g} in, ${price.output:g} out for a million tokens"
        found.append(f"{model} ({', '.join(agents) or 'all that name none'}): {cost}")
    advice = "a fast and cheap model for simple tasks (10x cheaper, 2x faster), a large one else"
    if not found:
        found = ["no model is named in [llm] or by an agent"]
    found.append(facts.said("llm", "temperature"))
    return unknown(found, advice, "which task is simple: compare with understudy run --model")


def connections(facts: Facts) -> Point:
    """Use connection pooling."""
    found = [
        "connections are kept and leased, for every provider: nothing to switch on",
        facts.said("llm", "transport"),
    ]
    if find_spec("httptools") is None:
        found.append("the parser in C is not installed: pip install understudy[fast]")
    return judged(found, "reuse connections")
