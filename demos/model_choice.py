"""Model Selection: what a model costs, and how fast it is, side by side."""

from collections.abc import Iterator

from claim import Claim, Switches, judged, main

from understudy import Agent, Price, Runtime
from understudy.testing import ProviderServer

# List prices of the guide's models in US dollars for a million tokens, as they were in 2024.
PRICES = {
    "openai:gpt-3.5-turbo": Price(input=0.5, output=1.5),
    "openai:gpt-4": Price(input=30.0, output=60.0),
    "openai:gpt-4-turbo": Price(input=10.0, output=30.0),
}


def claims(switches: Switches) -> Iterator[Claim]:
    """The same question to each; prices are data, speed is the provider's."""
    pace = None if switches.quick else 500
    cost: dict[str, float] = {}
    with ProviderServer("word " * 200, tokens_per_second=pace) as server, Runtime(prices=PRICES):
        for model in PRICES:
            agent = Agent(model, base_url=server.base_url, api_key="none")  # the server takes any
            result = agent.run("Tell a story")
            cost[model] = result.cost or 0.0
        if switches.model:
            real = Agent(switches.model).run("Tell a story in 50 words")
            told = f"{real.model}: {real.duration:.2f} s, {real.cost} dollars"
        else:
            told = "no provider was asked; every model is equally fast on our server"
    small, middle, large = cost.values()
    yield Claim(
        claimed="gpt-3.5-turbo is 10 times cheaper than gpt-4",
        measured=f"by list price {middle / small:.0f} times cheaper for one answer "
        f"({small * 1000:.2f} and {middle * 1000:.2f} dollars for a thousand)",
        verdict=judged(middle / small >= 10),
        how="Result.cost of the same answer of 200 tokens, with the list prices of 2024",
    )
    yield Claim(
        claimed="gpt-4-turbo is the step above gpt-4, for complex reasoning",
        measured=f"by list price it was {middle / large:.1f} times cheaper than gpt-4; which "
        "reasons better only they can show",
        verdict="not judged",
        how="as above",
    )
    yield Claim(
        claimed="gpt-3.5-turbo is 2 times faster",
        measured=told,
        verdict="not judged",
        how="needs the provider; `--model NAME` says how long one takes, Result.duration has it",
    )


if __name__ == "__main__":
    main("Model Selection", claims)
