"""Parallel Workflows: three steps of a second each, in turn and at once."""

from collections.abc import Iterator

from claim import Claim, Switches, judged, main, seconds

from understudy import Agent, Runtime, Workflow, step
from understudy.testing import FakeModel


def claims(switches: Switches) -> Iterator[Claim]:
    """3 s against 1 s, and whether N tasks are N times faster."""
    latency = switches.seconds(1.0, 0.02)
    agent = Agent(switches.model_or(FakeModel.echo(latency=latency)))

    def steps(count: int) -> list[tuple[str, Agent[str], str]]:
        return [(f"s{n}", agent, f"task {n}") for n in range(count)]

    with Runtime():
        agent.run("warm up")
        three = [step(*each) for each in steps(3)]
        in_turn = seconds(Workflow.sequential("pipeline", *three).run)
        at_once = seconds(Workflow.parallel("pipeline", *three).run)
        count = switches.size(50, 10)
        many = Workflow.parallel("many", *(step(*each) for each in steps(count)))
        together = seconds(many.run)
    how = f"agents on a model that takes {latency:g} s; by the clock"
    yield Claim(
        claimed="sequential 3 s, parallel 1 s: 3 times faster",
        measured=f"{in_turn:.2f} s and {at_once:.2f} s: {in_turn / at_once:.2f} times faster",
        verdict=judged(in_turn / at_once >= 2.7),
        how=how,
    )
    speedup = in_turn / 3 * count / together
    yield Claim(
        claimed="N times faster for N independent tasks",
        measured=f"{count} tasks in {together:.2f} s: {speedup:.1f} times faster than in turn. "
        "That is waiting done at once; work that computes shares one interpreter",
        verdict=judged(speedup >= 0.9 * count),
        how=how + f"; in turn is reckoned from three ({in_turn / 3:.2f} s each)",
    )


if __name__ == "__main__":
    main("Parallel Workflows", claims)
