"""Temperature Settings: what is sent, and whether zero is faster."""

from collections.abc import Iterator

from claim import Claim, Switches, in_turns, judged, main

from understudy import Agent, Runtime
from understudy.testing import ProviderServer


def claims(switches: Switches) -> Iterator[Claim]:
    """A server shows what arrives; only a real provider can show a difference in time."""
    with (
        ProviderServer(
            "word " * 200, tokens_per_second=1000 if not switches.quick else None
        ) as server,
        Runtime(),
    ):
        local = Agent("openai-compatible:m", base_url=server.base_url)
        for temperature in (None, 0.0, 0.9):
            local.run("Tell a story", temperature=temperature)
        sent = [request.json.get("temperature", "nothing") for request in server.requests]
        agent = Agent(switches.model) if switches.model else local

        def ask(temperature: float) -> None:
            agent.run("Tell a story in 50 words", temperature=temperature)

        ways = {0.0: lambda: ask(0.0), 0.9: lambda: ask(0.9)}
        taken = in_turns(ways, switches.size(3, 1))
    faster = 1 - taken[0.0] / taken[0.9]
    change = f"{abs(faster):.0%} {'faster' if faster > 0 else 'slower'}"
    yield Claim(
        claimed="temperature 0.0 is about 15 % faster due to reduced sampling",
        measured=f"{taken[0.0]:.2f} s at 0.0 and {taken[0.9]:.2f} s at 0.9: {change}"
        + ("" if switches.model else " on a server that does not sample, so that says nothing"),
        verdict=judged(faster >= 0.1) if switches.model else "not judged",
        how="the same prompt in turns. Choosing a token costs next to nothing beside computing it, "
        "so we know of no reason why this should be; ask a provider: --model openai:gpt-4.1-mini",
    )
    yield Claim(
        claimed="temperature 0.0 is deterministic and consistent",
        measured=f"for None, 0.0 and 0.9 there is sent: {sent[0]}, {sent[1]}, {sent[2]}. Zero is "
        "sent as zero; whether answers are then the same is the provider's to promise",
        verdict="not judged",
        how="request bodies recorded by a server on loopback",
    )


if __name__ == "__main__":
    main("Temperature Settings", claims)
