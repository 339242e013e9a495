from typing import Any

import pytest

from understudy import Actor, ConfigError, PoolRef, Runtime, Workflow, WorkflowError, step


class Teller(Actor):
    """Says which worker it is, and what it was given."""

    async def on_receive(self, message: str) -> tuple[str, str]:
        return self.ref.path, message.upper()


def test_a_step_is_a_job_of_a_pool(runtime: Runtime) -> None:
    """Held as a handle or named: the workers receive the value."""
    pool = runtime.pool("tellers", Teller, size=2)
    for target in (pool, PoolRef("tellers")):
        flow = Workflow.sequential("w", step("a", target, "say {input}"))
        assert flow.run("x", runtime=runtime).output[1] == "SAY X"


def test_a_key_sticks_to_a_worker(runtime: Runtime) -> None:
    """Items of one key are done by one worker of a keyed pool, whatever its own key says."""
    pool = runtime.pool("keyed", Teller, size=8, key=lambda job: job)

    def by_worker(items: list[dict[str, str]]) -> list[Any]:
        made = Workflow.sequential(
            "w", step("a", pool, "no {index}", each="{input}", key="{item.session}")
        )
        return [worker for worker, _ in made.run(items, runtime=runtime).output]

    assert len(set(by_worker([{"session": "one"}] * 20))) == 1
    assert len(set(by_worker([{"session": str(n)} for n in range(20)]))) > 1


def test_pools_that_are_not_there(runtime: Runtime) -> None:
    """A name that leads nowhere, and a key where there are none, fail the step with the remedy."""
    runtime.pool("plain", Teller, size=1)
    with pytest.raises(WorkflowError, match="there is no pool 'plane'; did you mean 'plain'"):
        Workflow.sequential("w", step("a", PoolRef("plane"))).run("x", runtime=runtime)
    with pytest.raises(WorkflowError, match="pool 'plain' has no key="):
        Workflow.sequential("w", step("a", PoolRef("plain"), key="k")).run("x", runtime=runtime)
    with pytest.raises(ConfigError, match="has key=, which is for a step whose target is a keyed"):
        Workflow.sequential("w", step("a", str.upper, key="k"))
