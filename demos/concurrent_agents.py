"""Concurrent Agents: many queries at the same time."""

from collections.abc import Iterator

from claim import Claim, Switches, judged, main, seconds

from understudy import Agent, Runtime
from understudy.testing import FakeModel


def claims(switches: Switches) -> Iterator[Claim]:
    """One after the other, then all at once with one line, then a great many."""
    latency = switches.seconds(0.2, 0.01)
    agent = Agent(switches.model_or(FakeModel.echo(latency=latency)))
    few = [f"query {n}" for n in range(switches.size(20, 5))]
    many = [f"query {n}" for n in range(switches.size(1000, 20))]

    with Runtime():
        agent.run("warm up")
        in_turn = seconds(lambda: [agent.run(query) for query in few])
        results = []
        at_once = seconds(lambda: results.extend(agent.map(few, max_concurrent=len(few))))
        crowd = seconds(lambda: agent.map(many, max_concurrent=len(many)))
    in_order = all(
        query in result.output for query, result in zip(few, results, strict=True)
    ) or bool(switches.model)
    yield Claim(
        claimed="queries can be processed concurrently, an agent and a goroutine each",
        measured=f"{len(few)} queries: {in_turn:.2f} s in turn, {at_once:.2f} s with agent.map "
        f"({in_turn / at_once:.1f} times faster), results in order; {len(many)} at once: "
        f"{crowd:.2f} s",
        verdict=judged(in_turn / at_once >= 0.7 * len(few) and in_order),
        how=f"one agent, shared, on a model that takes {latency:g} s; no thread for each query",
    )


if __name__ == "__main__":
    main("Concurrent Agents", claims)
