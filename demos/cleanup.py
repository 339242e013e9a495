"""Memory Cleanup: sessions that are over."""

from collections.abc import Iterator

from claim import Claim, Switches, judged, main

from understudy import Agent, Memory, Runtime
from understudy.testing import FakeModel, ManualClock

HOUR = 3600.0


def claims(switches: Switches) -> Iterator[Claim]:
    """Cleared by name, forgotten by time (a clock that the demo turns), and bounded in number."""
    sessions = switches.size(500, 20)
    clock = ManualClock()
    memory, narrow = Memory(ttl="1h"), Memory(max_sessions=10)
    fake = FakeModel(lambda _: "Hello, and a long answer to keep. " * 20)
    agent = Agent(switches.model_or(fake), memory=memory)
    with Runtime(clock=clock) as rt:
        for n in range(sessions if not switches.model else 3):
            agent.run("Hello", session=f"user-{n}")
        before = memory.stats
        cleared = memory.clear("user-0")
        after = memory.stats
        gone = memory.history("user-0") == ()
        clock.advance(2 * HOUR)
        late = memory.history("user-1")
        rt.complete(memory.astats(), "memory.astats")
        left = memory.stats
        for n in range(100):
            memory_agent = agent.with_(memory=narrow, model=fake)
            memory_agent.run("Hello", session=f"user-{n}")
        bounded = narrow.stats
    yield Claim(
        claimed="memory.Clear(sessionID) clears a session",
        measured=f"{before.sessions} sessions of {before.bytes / 1024:.0f} KiB; one was cleared "
        f"({cleared}): {after.sessions} of {after.bytes / 1024:.0f} KiB, its history is empty",
        verdict=judged(cleared and gone and after.sessions == before.sessions - 1),
        how="memory.clear(session), Memory.stats; memory.erase(tenant) forgets all of a tenant",
    )
    yield Claim(
        claimed="or clean old sessions up from time to time, in a goroutine with a ticker",
        measured=f"two hours later, with ttl='1h' and no code for it: {left.sessions} sessions, "
        f"{left.expired} expired, {len(late)} messages of one of them are still read; with "
        f"max_sessions=10 there are {bounded.sessions} after 100, {bounded.evicted} were forgotten",
        verdict=judged(not late and left.sessions == 0 and bounded.sessions <= 10),
        how="a ManualClock that the demo advances: nobody waited two hours",
    )


if __name__ == "__main__":
    main("Memory Cleanup", claims)
