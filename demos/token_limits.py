"""Token Limits: shorter answers, at a given pace."""

from collections.abc import Iterator

from claim import Claim, Switches, judged, main, seconds

from understudy import Agent, Runtime
from understudy.testing import ProviderServer

CLAIMED = {100: 0.5, 500: 2.0, 2000: 8.0}


def claims(switches: Switches) -> Iterator[Claim]:
    """A server that speaks at 250 tokens a second, as the guide's figures imply."""
    pace = switches.size(250, 20_000)
    taken: dict[int, float] = {}
    said: dict[int, int] = {}
    with ProviderServer("word " * 3000, tokens_per_second=pace) as server, Runtime():
        local = Agent("openai-compatible:m", base_url=server.base_url)
        agent = Agent(switches.model) if switches.model else local
        agent.run("warm up", max_tokens=1)  # the connection
        for limit in CLAIMED:

            def ask(limit: int = limit) -> None:
                result = agent.run("Tell the longest story you can", max_tokens=limit)
                said[limit] = result.usage.output_tokens

            taken[limit] = seconds(ask)
        sent = [request.json.get("max_tokens") for request in server.requests[1:]]
    shown = ", ".join(f"{limit}: {taken[limit]:.2f} s ({said[limit]} tokens)" for limit in CLAIMED)
    near = all(0.5 <= taken[limit] / claimed <= 2 for limit, claimed in CLAIMED.items())
    yield Claim(
        claimed="100 tokens take about 0.5 s, 500 about 2 s, 2000 about 8 s",
        measured=shown
        + ("" if switches.model else f"; the server's pace, {pace}/s, was our choice"),
        verdict=judged(near) if switches.model else "not judged",
        how="max_tokens of the call; the figures are a pace of 200-250 tokens a second, which is "
        "the provider's business: --model asks a real one",
    )
    ratio = taken[2000] / taken[100]
    yield Claim(
        claimed="shorter responses are faster and cheaper",
        measured=f"2000 tokens took {ratio:.1f} times as long as 100"
        + ("" if switches.model else f"; max_tokens was sent as {', '.join(map(str, sent))}"),
        verdict=judged(ratio > 2 and said[100] <= 100),
        how="time and output tokens grow together, so cost does too",
    )


if __name__ == "__main__":
    main("Token Limits", claims)
