import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from understudy import ActorDeadError, Agent, Runtime, Workflow, WorkflowError, step
from understudy.actors.agents.agent import AgentActor
from understudy.messages.tools import Effects
from understudy.messages.workflows import RunStep
from understudy.runtime.step_pools import _again as again
from understudy.testing import FakeModel, assert_quiet

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio


def kill_workers(rt: Runtime) -> int:
    """Kill every step worker there is, and say how many that were."""
    workers = [ref for pool in rt.crew.steps.pools for ref in pool.workers]
    for ref in workers:
        ref.kill()
    return len(workers)


def test_workers_bound_the_steps_of_all_runs(gate: "Gate") -> None:
    """However many runs there are, at most `workers` async steps are under way; others wait."""
    flow = Workflow.dag("w", step("all", gate, each="{input}"))
    with Runtime(workers=3) as rt:
        runs = [flow.submit([str(n) for n in range(6)], runtime=rt) for _ in range(2)]
        for arrived in (3, 6, 9, 12):
            gate.until(arrived=arrived, waiting=3)
            assert gate.waiting == 3
            gate.open(count=3)
        for run in runs:
            assert run.get(timeout=10).output == ["open"] * 6
    assert gate.peak == 3
    assert_quiet(rt)


def test_threads_bound_the_blocking_steps() -> None:
    """At most `threads` functions run at a time, each on a thread of the pool."""
    lock = threading.Lock()
    busy = peak = 0
    together = threading.Barrier(2)
    names: set[str] = set()

    def work(value: int) -> int:
        nonlocal busy, peak
        with lock:
            busy += 1
            peak = max(peak, busy)
            names.add(threading.current_thread().name)
        together.wait(timeout=10)
        with lock:
            busy -= 1
        return value * 2

    flow = Workflow.dag("w", step("all", work, each="{input}"))
    with Runtime(name="rt", threads=2) as rt:
        assert flow.run(list(range(10)), runtime=rt).output == [n * 2 for n in range(10)]
    assert peak == 2
    assert names <= {"understudy-rt-steps-1", "understudy-rt-steps-2"}
    assert_quiet(rt)


def test_steps_beyond_every_queue_wait_their_turn(gate: "Gate") -> None:
    """More runs than the pool's queue holds are slow, never refused."""
    flow = Workflow.dag("w", step("all", gate, each="{input}"))
    with Runtime(workers=1) as rt:
        runs = [flow.submit([str(n) for n in range(64)], runtime=rt) for _ in range(40)]
        gate.until(waiting=1)
        for _ in range(40 * 64):
            gate.until(waiting=1)
            gate.open()
        assert all(len(run.get(timeout=20).output) == 64 for run in runs)
    assert gate.peak == 1
    assert_quiet(rt)


@pytest.mark.parametrize("effects", ["none", "idempotent"])
def test_a_step_whose_worker_was_killed_is_done_again(gate: "Gate", effects: str) -> None:
    """What may happen twice is begun again by another worker, and its record says so."""
    flow = Workflow.dag("w", step("all", gate, each="{input}", effects=effects))  # type: ignore[arg-type]
    with Runtime() as rt:
        run = flow.submit(["a", "b", "c"], runtime=rt)
        gate.until(waiting=3)
        assert kill_workers(rt) == 3
        gate.until(arrived=6, waiting=3)
        assert gate.cancelled == 3
        gate.open("again", count=3)
        result = run.get(timeout=10)
    assert result.output == ["again"] * 3
    assert result.steps["all[0]"].attempts == 2
    assert_quiet(rt)


def test_an_agent_is_asked_again() -> None:
    """An agent without tools changes nothing, so its step survives the loss of its worker."""
    first = threading.Event()
    go_on = threading.Event()

    async def answer(messages: object) -> str:
        if not first.is_set():
            first.set()
            import asyncio

            await asyncio.get_running_loop().create_future()
        go_on.set()
        return "answer"

    flow = Workflow.sequential("w", step("a", Agent(FakeModel(answer))))
    with Runtime() as rt:
        run = flow.submit("?", runtime=rt)
        assert first.wait(timeout=10)
        kill_workers(rt)
        assert go_on.wait(timeout=10)
        assert run.get(timeout=10).output == "answer"
    assert_quiet(rt)


@pytest.mark.parametrize("effects", [None, "at_most_once"])
def test_a_step_that_may_not_happen_twice_is_lost(gate: "Gate", effects: str | None) -> None:
    """Without leave to repeat it, a function whose worker was killed is an error that says so."""
    flow = Workflow.dag("w", step("a", gate, effects=effects))  # type: ignore[arg-type]
    with Runtime() as rt:
        run = flow.submit("x", runtime=rt)
        gate.until(waiting=1)
        kill_workers(rt)
        with pytest.raises(WorkflowError, match="step a failed") as caught:
            run.get(timeout=10)
        assert isinstance(caught.value.cause, ActorDeadError)
        assert "/system/steps" in str(caught.value.cause)
        assert gate.arrived == 1
    assert_quiet(rt)


def test_a_step_that_kills_its_workers_is_given_up(gate: "Gate") -> None:
    """After three attempts a step is not begun again, whatever its effects."""
    flow = Workflow.dag("w", step("a", gate, effects="none"))
    with Runtime() as rt:
        run = flow.submit("x", runtime=rt)
        for attempt in (1, 2, 3):
            gate.until(arrived=attempt, waiting=1)
            kill_workers(rt)
        with pytest.raises(WorkflowError, match="step a failed"):
            run.get(timeout=10)
        assert gate.arrived == 3
    assert_quiet(rt)


def test_killed_workers_are_replaced(gate: "Gate") -> None:
    """Losing workers, idle or busy, does not make the pool smaller."""
    flow = Workflow.dag("w", step("all", gate, each="{input}", effects="none"))
    with Runtime(workers=2) as rt:
        for _ in range(5):
            run = flow.submit(["a", "b"], runtime=rt)
            gate.until(waiting=2)
            gate.open(count=2)
            run.get(timeout=10)
            kill_workers(rt)
        run = flow.submit(["a", "b", "c"], runtime=rt)
        gate.until(waiting=2)
        gate.open(count=2)
        gate.until(waiting=1)
        gate.open()
        assert run.get(timeout=10).output == ["open"] * 3
    assert_quiet(rt)


@pytest.mark.unquiet(failures=(SystemExit,))
def test_a_step_that_exits_ends_neither_thread_nor_process(runtime: Runtime) -> None:
    """`sys.exit` in a function is that step's failure; the next step finds a worker."""

    def leave() -> None:
        raise SystemExit(3)

    flow = Workflow.sequential("w", step("a", leave))
    with pytest.raises(WorkflowError, match="step a failed"):
        flow.run(runtime=runtime)
    assert Workflow.sequential("w", step("a", lambda: 1)).run(runtime=runtime).output == 1


def test_a_cancelled_step_leaves_its_thread_to_the_next(runtime: Runtime) -> None:
    """A job is not handed to a worker whose thread is still in the one before."""
    inside, leave = threading.Event(), threading.Event()

    def stuck() -> None:
        inside.set()
        assert leave.wait(timeout=10)

    with Runtime(threads=2) as rt:
        run = Workflow.sequential("w", step("a", stuck)).submit(runtime=rt)
        assert inside.wait(timeout=10)
        run.cancel()
        quick = Workflow.dag("w", step("all", lambda n: n, each="{input}", timeout=1.0))
        assert quick.run(list(range(20)), runtime=rt).output == list(range(20))
        leave.set()
    assert_quiet(rt)


def tower(levels: int, *, blocking: bool) -> Workflow:
    """A workflow whose functions run a workflow whose functions run a workflow, and so on."""
    echo = Agent(FakeModel.echo())
    if levels == 0:
        return Workflow.parallel("leaf", *(step(f"s{n}", echo if n % 2 else str) for n in range(4)))
    below = tower(levels - 1, blocking=blocking)

    def wait(value: str) -> str:
        return below.run(value).status

    async def await_(value: str) -> str:
        return (await below.arun(value)).status

    target = wait if blocking else await_
    return Workflow.parallel(f"level{levels}", *(step(f"s{n}", target) for n in range(2)))


@pytest.mark.parametrize("blocking", [False, True])
def test_work_never_waits_for_a_worker_that_its_ancestor_holds(*, blocking: bool) -> None:
    """Functions of steps may run workflows and wait for them, with every bound set to one."""
    with Runtime(workers=1, threads=1) as rt:
        assert tower(4, blocking=blocking).run("x", runtime=rt, timeout=20).status == "completed"
        assert max(len(pool.workers) for pool in rt.crew.steps.pools) == 1
    assert_quiet(rt)


def test_runs_that_begin_themselves_for_ever_are_stopped(runtime: Runtime) -> None:
    """A step's function that runs its own workflow is an error after a few levels."""
    flows: list[Workflow] = []

    async def again(value: str) -> object:
        return (await flows[0].arun(value)).output

    flows.append(Workflow.sequential("loop", step("a", again)))
    with pytest.raises(WorkflowError, match=r"'loop': a step's function began a run.*8 deep"):
        flows[0].run("x", runtime=runtime)


def test_only_agents_without_tools_are_begun_again_by_themselves() -> None:
    """What a tool did outside is not done twice because a worker was lost."""

    def buy(what: str) -> str:
        """Buy something."""
        return what

    def step_of(agent: Agent, effects: Effects | None = None) -> RunStep:
        return RunStep(path="s", target=agent, value="x", effects=effects)

    plain, buyer = Agent(FakeModel.echo()), Agent(FakeModel.echo(), tools=[buy])
    assert again(step_of(plain)) is not None
    assert again(step_of(buyer)) is None
    assert again(step_of(buyer, "idempotent")) is not None


def kill_agents(rt: Runtime) -> int:
    """Kill every agent actor there is, and say how many that were."""
    agents = [cell.ref for cell in rt.system.cells() if cell.spec.cls is AgentActor]
    for ref in agents:
        ref.kill()
    return len(agents)


@pytest.mark.parametrize(("effects", "again"), [(None, True), ("at_most_once", False)])
def test_a_step_whose_agent_was_killed_is_a_lost_one(
    gate: "Gate", effects: Effects | None, again: bool
) -> None:
    """As where its worker is killed: begun again if it may happen twice, else it fails."""
    flow = Workflow.dag("w", step("one", Agent(FakeModel(gate), name="a"), effects=effects))
    with Runtime() as rt:
        run = flow.submit("x", runtime=rt)
        gate.until(arrived=1, waiting=1)
        assert kill_agents(rt) == 1
        if again:
            gate.until(arrived=2, waiting=1)
            gate.open("the second time")
            assert run.get(timeout=10).output == "the second time"
        else:
            with pytest.raises(WorkflowError) as failed:
                run.get(timeout=10)
            assert isinstance(failed.value.cause, ActorDeadError)
    assert_quiet(rt)


async def test_steps_that_waited_for_a_place_in_the_queue_get_workers_too() -> None:
    """More steps at a time than the queue holds: as many workers are made as may be."""
    gate, everybody, arrived = asyncio.Event(), asyncio.Event(), 0

    async def wait(value: int) -> int:
        nonlocal arrived
        arrived += 1
        if arrived == 1_500:  # the queue holds 1,000
            everybody.set()
        await gate.wait()
        return value

    flow = Workflow.sequential("w", step("wait", wait))
    async with Runtime(workers=1_500) as rt:
        runs = [flow.submit(number, runtime=rt) for number in range(1_500)]
        async with asyncio.timeout(30):
            await everybody.wait()
        gate.set()
        assert [(await run).output for run in runs] == list(range(1_500))
    assert_quiet(rt)
