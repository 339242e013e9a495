"""Step Dependencies: a graph runs what can run."""

from collections.abc import Iterator

from claim import Claim, Switches, judged, main, seconds

from understudy import Agent, Runtime, Workflow, step
from understudy.testing import FakeModel


def claims(switches: Switches) -> Iterator[Claim]:
    """6 s against 4 s; and a graph in which levels would wait for each other."""
    takes = switches.seconds(2.0, 0.02)
    agent = Agent(switches.model_or(FakeModel.echo(latency=takes)))
    short = Agent(switches.model_or(FakeModel.echo(latency=takes / 2)))
    long = Agent(switches.model_or(FakeModel.echo(latency=takes * 1.5)))
    sequence = Workflow.sequential(
        "pipeline", *(step(name, agent, f"{name}: work") for name in ("a", "b", "c"))
    )
    graph = Workflow.dag(
        "pipeline",
        step("a", agent, "a: work"),
        step("b", agent, "b: {a}", after="a"),
        step("c", agent, "c: {a}", after="a"),
    )
    # By levels (a1, a2), then (b1, b2): the longest of each, 1.5 + 1.5. By what is ready: 2.
    crossed = Workflow.dag(
        "crossed",
        step("a1", short, "a1: work"),
        step("a2", long, "a2: work"),
        step("b1", long, "b1: {a1}", after="a1"),
        step("b2", short, "b2: {a2}", after="a2"),
    )
    with Runtime():
        agent.run("warm up")
        six, four = seconds(sequence.run), seconds(graph.run)
        ready = seconds(crossed.run)
        path = " -> ".join(graph.run().critical_path)
    how = f"agents on a model that takes {takes:g} s (1 and 3 s in the second, in proportion)"
    yield Claim(
        claimed="sequential 6 s, DAG 4 s (b and c run in parallel)",
        measured=f"{six:.2f} s and {four:.2f} s; critical path {path}",
        verdict=judged(six / four >= 1.4),
        how=how,
    )
    yield Claim(
        claimed="DAG workflows maximize parallelism",
        measured=f"two chains of a short and a long step: {ready / takes * 2:.2f} s, as each step "
        "begins when its own dependencies are done, not level by level (which would take 6 s)",
        verdict=judged(ready < 2.5 * takes),
        how=how + "; times as if a step took 2 s",
    )


if __name__ == "__main__":
    main("Step Dependencies", claims)
