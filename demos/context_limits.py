"""Limiting Context Size: what a long conversation costs, with and without limits."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from claim import Claim, Switches, judged, main, peak_mib

from understudy import Agent, AssistantMessage, Message, Runtime, UserMessage
from understudy.testing import ProviderServer

LIMITS: dict[str, dict[str, Any]] = {  # Any: options of a call
    "no limit": {},
    "history_limit=10": {"history_limit": 10},
    "context_window=4000": {"context_window": 4000, "max_tokens": 1000},
}


def claims(switches: Switches) -> Iterator[Claim]:
    """The same prompt behind a long history, over HTTP; then many at once, for their memory."""
    turns, many = switches.size(200, 30), switches.size(20, 2)
    text = "a sentence of this long conversation, " * 25
    history: list[Message] = []
    for n in range(turns):
        history += [UserMessage(content=f"{n}: {text}"), AssistantMessage(content=text)]
    sent: dict[str, int] = {}
    tokens: dict[str, int] = {}
    size: dict[str, int] = {}
    peak: dict[str, float] = {}
    with ProviderServer("Yes.") as shown, ProviderServer("Yes.", latency=0.2, record=False) as busy:
        for name, options in LIMITS.items():
            with Runtime():
                agent = Agent("openai-compatible:m", base_url=shown.base_url)
                result = agent.run("Do you remember?", history=history, **options)
                sent[name] = len(shown.requests[-1].json["messages"])
                size[name] = len(shown.requests[-1].body)
                tokens[name] = result.usage.input_tokens
                crowd = agent.with_(base_url=busy.base_url).map
                peak[name] = peak_mib(
                    partial(crowd, ["?"] * many, max_concurrent=many, history=history, **options)
                )
                if switches.model:
                    real = Agent(switches.model).run("Do you remember?", history=history, **options)
                    tokens[name] = real.usage.input_tokens
    bare, last, window = LIMITS
    yield Claim(
        claimed="WithHistoryLimit(10) keeps the last 10, WithContextWindow(4000) trims to 4K "
        "tokens",
        measured=", ".join(
            f"{name}: {sent[name]} messages, {tokens[name]:,} tokens, {size[name] / 1024:.0f} KiB"
            for name in LIMITS
        ),
        verdict=judged(sent[last] <= 11 and tokens[window] <= 4000),
        how=f"{turns} turns of {len(text)} characters, as they were sent; max_tokens of the answer "
        "is part of the window; a call is never parted from its result",
    )
    saved = {name: 1 - peak[name] / peak[bare] for name in (last, window)}
    yield Claim(
        claimed="up to 80 % less memory for long conversations",
        measured=f"{peak[bare]:.1f} MiB for {many} runs at once, "
        + ", ".join(f"{peak[name]:.1f} with {name} ({saved[name]:.0%} less)" for name in saved)
        + ": requests are smaller; the conversation itself is shared, and kept where it was",
        verdict=judged(max(saved.values()) >= 0.8),
        how="peak of Python's memory (tracemalloc), client and a server on loopback together",
    )


if __name__ == "__main__":
    main("Limiting Context Size", claims)
