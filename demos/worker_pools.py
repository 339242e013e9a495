"""Goroutine Management: a pool of workers in front of a bounded queue."""

import asyncio
from collections.abc import Iterator

from claim import Claim, Switches, judged, main, seconds

from understudy import Actor, ActorRestartedError, Agent, MailboxFullError, Runtime, child
from understudy.testing import FakeModel


class Worker(Actor):
    """Asks an agent; the word `crash` ends it."""

    busy = 0
    peak = 0

    def __init__(self, agent: Agent[str]) -> None:
        self.agent = agent

    async def on_receive(self, query: str) -> str:
        """One job."""
        if query == "crash":
            raise ValueError("a worker crashes, as workers do")
        Worker.busy += 1
        Worker.peak = max(Worker.peak, Worker.busy)
        try:
            return (await self.agent.arun(query)).output
        finally:
            Worker.busy -= 1


async def overfill(rt: Runtime, worker: type[Actor], agent: Agent[str]) -> int:
    """How many of 100 jobs a pool refuses whose queue takes 8."""
    pool = await rt.apool("narrow", child(worker, agent), size=2, queue=8)
    answers = await asyncio.gather(*(pool.submit("go") for _ in range(100)), return_exceptions=True)
    return sum(isinstance(answer, MailboxFullError) for answer in answers)


def claims(switches: Switches) -> Iterator[Claim]:
    """More jobs than workers, a crash among them, and a full queue."""
    latency, jobs = switches.seconds(0.1, 0.01), switches.size(100, 20)
    agent = Agent(switches.model_or(FakeModel.echo(latency=latency)))
    with Runtime() as rt:
        pool = rt.pool("workers", child(Worker, agent), size=4, queue=8)
        taken = seconds(lambda: list(pool.map(f"query {n}" for n in range(jobs))))
        lost = 0
        replies = [pool.submit(word) for word in ("one", "crash", "two", "three")]
        for reply in replies:
            try:
                reply.get(timeout=30)
            except (ValueError, ActorRestartedError):
                lost += 1
        refused = rt.complete(overfill(rt, Worker, agent), "overfill")
    ideal = jobs / 4 * latency
    yield Claim(
        claimed="worker pools give better control",
        measured=f"{jobs} jobs by 4 workers in {taken:.2f} s (ideal {ideal:.2f} s), at most "
        f"{Worker.peak} at a time; a crash cost {lost} job of 4; 2 workers with a queue of 8 "
        f"refused {refused} of 100 jobs at once, none blocked its sender",
        verdict=judged(Worker.peak <= 4 and lost == 1 and refused >= 80),
        how=f"rt.pool, jobs that ask a model that takes {latency:g} s",
    )


if __name__ == "__main__":
    main("Goroutine Management", claims)
