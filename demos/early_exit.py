"""Early Exit: the thorough search is not made when the quick one has found it."""

from collections.abc import Iterator
from functools import partial

from claim import Claim, Switches, judged, main, seconds

from understudy import Agent, Runtime, Workflow, WorkflowComplete, step
from understudy.testing import FakeModel

KNOWN = {"capital of France": "Paris"}


def quick_search(question: str) -> str:
    """Look where it costs nothing; raising `WorkflowComplete` ends the workflow well."""
    found = KNOWN.get(question)
    if found:
        raise WorkflowComplete(found)
    return question


def claims(switches: Switches) -> Iterator[Claim]:
    """A question that is known, one that is not, and a search among several that runs at once."""
    takes = switches.seconds(1.0, 0.02)
    fake = FakeModel(lambda _: "Found after a thorough search.", latency=takes)
    thorough = Agent(switches.model_or(fake))
    search = Workflow.sequential(
        "search", step("quick", quick_search), step("thorough", thorough, "Find: {input}")
    )
    race = Workflow.parallel(
        "race", step("quick", quick_search), step("thorough", thorough, "Find: {input}")
    )
    with Runtime():
        thorough.run("warm up")
        known = search.run("capital of France")
        unknown = search.run("capital of Atlantis")
        early = seconds(partial(search.run, "capital of France"))
        late = seconds(partial(search.run, "capital of Atlantis"))
        cut = race.run("capital of France")
        raced = seconds(partial(race.run, "capital of France"))
    skipped, cancelled = (each.steps["thorough"].status for each in (known, cut))
    yield Claim(
        claimed="ErrWorkflowComplete skips the remaining steps on success",
        measured=f"found at once: {known.output!r} in {early * 1000:.1f} ms, ended by "
        f"{known.completed_early!r}, the thorough step {skipped}; not found: "
        f"{late:.2f} s; beside each other the thorough step is {cancelled} "
        f"after {raced * 1000:.1f} ms",
        verdict=judged(
            known.output == "Paris" and not unknown.completed_early and early < late / 2
        ),
        how=f"a function that raises WorkflowComplete; an agent on a model that takes {takes:g} s",
    )


if __name__ == "__main__":
    main("Early Exit", claims)
