"""LLM Response Caching: the same question again."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from claim import Claim, Switches, in_turns, judged, main, seconds

from understudy import Agent, Result, Runtime
from understudy.testing import FakeModel, ManualClock


def made(results: list[Result[str]]) -> int:
    """How many of them a model was asked for."""
    return sum(result.cached is None for result in results)


def claims(switches: Switches) -> Iterator[Claim]:
    """First and again; twenty at once; after its time; for another tenant; at another setting."""
    clock = ManualClock()
    fake = FakeModel(lambda _: "Paris.", latency=switches.seconds(0.5, 0.02))
    agent = Agent(switches.model_or(fake), cache="10m")
    question = "Capital of France?"
    with Runtime(clock=clock) as rt:
        Agent(fake, cache="10m").run("warm up")
        first = seconds(partial(agent.run, question))
        again = in_turns({"": partial(agent.run, question)}, switches.size(200, 5))[""]
        hit = agent.run(question)
        at_once = made(agent.map(["Capital of Spain?"] * 20, max_concurrent=20))
        otherwise: list[dict[str, Any]] = [  # Any: options of a run
            {"tenant": "acme"},
            {"temperature": 0.9},
            {"instructions": "Answer in French."},
        ]
        others = made([agent.run(question, **options) for options in otherwise])
        clock.advance(601.0)
        late = agent.run(question)
        (stats,) = rt.caches().values()
    saved = 1 - again / first
    kept = (at_once, others, late.cached) == (1, 3, None)
    yield Claim(
        claimed="90 % and more for cache hits",
        measured=f"{first * 1000:.0f} ms first, {again * 1000:.2f} ms again: {saved:.2%} less, no "
        f"tokens ({hit.usage.total_tokens}), no cost ({hit.cost or 0:g}); {stats.hits} hits of "
        f"{stats.hits + stats.misses + stats.shared} lookups in all",
        verdict=judged(saved >= 0.9 and hit.cached is not None),
        how='Agent(cache="10m"), best of the rounds; Result.cached says that and how old it is',
    )
    yield Claim(
        claimed="a map with a lock and a ttl does it (the guide's code reads no ttl, keys by the "
        "query alone, and asks once for each of several callers at once)",
        measured=f"20 callers at once asked the model {at_once} time; after 10 minutes it was "
        f"asked again ({late.cached is None}); another tenant, temperature or instruction: "
        f"{others} of 3 were other questions",
        verdict="in part" if kept else "does not hold",
        how="results whose `cached` is None; a ManualClock that the demo advances. The claim holds "
        "for the hit, not for what such a map leaves out",
    )


if __name__ == "__main__":
    main("LLM Response Caching", claims)
