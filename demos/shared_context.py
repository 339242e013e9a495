"""Context Sharing: a large value that many steps read."""

from collections.abc import Iterator

from claim import Claim, Switches, judged, main, peak_mib, seconds

from understudy import Agent, RunContext, Runtime, Workflow, step
from understudy.testing import FakeModel


def claims(switches: Switches) -> Iterator[Claim]:
    """By reference through the context of the run, against a copy for each step."""
    size, readers = switches.size(10 * 2**20, 2**16), switches.size(50, 5)
    agent = Agent(switches.model_or(FakeModel(["The data is fine."] * 10)))
    seen: list[int] = []

    def load(ctx: RunContext) -> str:
        ctx["data"] = bytes(size)
        return "loaded"

    def read(ctx: RunContext) -> int:
        seen.append(id(ctx["data"]))
        ctx.update("read", lambda count: (count or 0) + 1)  # atomic: many steps do it at once
        return len(ctx["data"])

    def count(ctx: RunContext) -> int:
        read: int = ctx.get("read")
        return read

    def copy(ctx: RunContext) -> bytes:
        return bytes(bytearray(ctx["data"]))

    def flow(name: str, work: object) -> Workflow:
        reading = [step(f"r{n}", work, after="load") for n in range(readers)]
        return Workflow.dag(
            name,
            step("load", load),
            *reading,
            step("count", count, after=[each.name for each in reading]),
            step("say", agent, "The data was read {count} times.", after="count"),
        )

    with Runtime():
        shared = flow("shared", read)
        result = shared.run()
        same = len(set(seen)) == 1
        taken = seconds(shared.run)
        by_reference, by_copy = peak_mib(shared.run), peak_mib(flow("copied", copy).run)
    mib = size / 2**20
    yield Claim(
        claimed="sharing through the context minimizes data copying between steps",
        measured=f"{readers} steps read one value of {mib:.1f} MiB: {by_reference:.1f} MiB at most "
        f"(each saw the same object: {'yes' if same else 'no'}), {by_copy:.0f} MiB with a copy for "
        f"each; their counter came to {result.steps['count'].output}; {taken * 1000:.0f} ms",
        verdict=judged(same and by_reference < 1.5 * mib + 1 and by_reference < by_copy / 2),
        how="functions as steps, RunContext by reference; peak of Python's memory (tracemalloc)",
    )


if __name__ == "__main__":
    main("Context Sharing", claims)
