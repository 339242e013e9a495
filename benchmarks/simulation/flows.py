"""Random workflows: graphs, joins, loops, items, nesting; failures, early exits, cancels.

Each seed draws a workflow of up to 60 steps, runs it a few times beside itself with few workers,
and looks at what happened from both sides: the functions of the steps say when they began and
ended, the result says what it believes. No step begins before those that it waits for are through,
none is done more often than its retries allow, no bound is passed, and every step has a record.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from understudy.actors.kernel.run_context import RunContext
from understudy.messages.conditions import any_of, converged, output_contains
from understudy.messages.errors import RunCancelledError, UnderstudyError, WorkflowComplete
from understudy.messages.workflows import StepSpec, WorkflowResult, WorkflowSpec
from understudy.runtime.graph import targets
from understudy.runtime.runtime import Runtime
from understudy.runtime.workflow import Workflow, choose, step
from understudy.testing.sim import Fault, Faults, SimRuntime

MOST = 60
MODES = ("dag", "dag", "dag", "sequential", "parallel", "loop")


class Watch:
    """What the functions of the steps see."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.running: Counter[str] = Counter()
        self.in_run: Counter[int] = Counter()
        self.contexts: list[RunContext] = []  # held, so that no other has its id
        self.wrong: list[str] = []
        self.strict = True

    def enter(self, name: str, bound: int, ctx: RunContext) -> None:
        """A step of a run begins."""
        self.contexts.append(ctx)
        self.begun[name] += 1
        self.running[name] += 1
        self.in_run[id(ctx)] += 1
        if (
            self.strict and self.in_run[id(ctx)] > bound
        ):  # raised here, it would pass for a step that failed
            self.wrong.append(f"{name}: more than {bound} steps of a run at a time")

    def leave(self, name: str, ctx: RunContext) -> None:
        """And ends."""
        self.running[name] -= 1
        self.in_run[id(ctx)] -= 1


class Maker:
    """Draws workflows."""

    def __init__(self, rng: random.Random, watch: Watch) -> None:
        self.rng = rng
        self.watch = watch
        self.left = rng.randint(1, MOST)
        self.bad = rng.choice((0.0, 0.0, 0.05, 0.2))
        self.early = rng.choice((0.0, 0.0, 0.02, 0.1))
        self.blocking = rng.random() < 0.2
        self.tight = rng.random() < 0.3
        # A step whose time is over is answered at once, and what it was doing ends a moment later:
        # so bounds on what is under way are looked at where nothing is timed.
        self.timed = rng.random() < 0.3
        watch.strict = not self.timed
        self._names = 0

    def workflow(self, depth: int = 0) -> Workflow:
        """One with steps of its own, some of them workflows."""
        rng = self.rng
        mode = rng.choice(MODES)
        bound = 1 if self.tight else rng.choice((1, 2, 3, 64))
        count = max(1, min(self.left, rng.randint(1, 12 if depth else 30)))
        self.left -= count
        steps: list[StepSpec] = []
        for _ in range(count):
            steps.append(self._step(mode, steps, bound, depth))
        options: dict[str, Any] = {"max_concurrent": bound}
        if mode == "parallel":
            options["join"] = rng.choice(("all", "all", "any", rng.randint(1, count)))
            options["on_error"] = rng.choice(("fail_fast", "collect"))
        if mode == "loop":
            options["max_iterations"] = rng.randint(1, 4)
            options["until"] = rng.choice((None, any_of(converged(), output_contains("7"))))
        if self.timed and rng.random() < 0.3:
            options["timeout"] = rng.choice((0.5, 5.0))
        make: Callable[..., Workflow] = getattr(Workflow, mode)
        return make(f"w{depth}", *steps, **options)

    def _step(self, mode: str, before: list[StepSpec], bound: int, depth: int) -> StepSpec:
        rng = self.rng
        self._names += 1
        name = f"s{self._names}"
        options: dict[str, Any] = {}
        if mode == "dag" and before:
            some = rng.sample(before, rng.randint(0, min(3, len(before))))
            options["after"] = tuple(each.name for each in some)
        if rng.random() < 0.15:
            options["each"] = "{input}"
            options["max_concurrent"] = rng.choice((None, 1, 2))
        if rng.random() < 0.1:
            options["when"] = rng.choice(("{input}", _odd))
        if rng.random() < 0.15:
            options["retries"] = rng.randint(1, 3)
        if self.timed and rng.random() < 0.3:
            options["timeout"] = rng.choice((0.2, 2.0))
        if rng.random() < 0.1:
            options["on_error"] = "continue"
        elif rng.random() < 0.1:
            self._names += 1
            options["on_error"] = step(f"s{self._names}", self._leaf(f"s{self._names}", bound))
        target: Any = self._leaf(name, bound)
        if self.left > 0 and depth < 3 and rng.random() < 0.15:
            target = self.workflow(depth + 1)
        elif rng.random() < 0.05:
            target = choose("{input}", {"never": target}, default=rng.choice((None, target)))
        return step(name, target, "{input}" if rng.random() < 0.8 else None, **options)

    def _leaf(self, name: str, bound: int) -> Callable[..., Any]:
        rng, watch = self.rng, self.watch
        seconds = rng.choice((0.0, 0.0, 0.1, 1.0))

        def outcome(value: Any) -> Any:  # Any: what a step receives
            luck = rng.random()
            if luck < self.bad:
                raise ValueError(name)
            if luck < self.bad + self.early:
                raise WorkflowComplete([name])
            return value

        async def work(value: Any, ctx: RunContext) -> Any:  # Any: what a step receives
            watch.enter(name, bound, ctx)
            try:
                if seconds:
                    await asyncio.sleep(seconds * rng.random())
                return outcome(value)
            finally:
                watch.leave(name, ctx)

        def block(value: Any, ctx: RunContext) -> Any:  # Any: what a step receives
            watch.enter(name, bound, ctx)
            try:
                return outcome(value)
            finally:
                watch.leave(name, ctx)

        return block if self.blocking and rng.random() < 0.3 else work


def simulate(seed: int) -> SimRuntime:
    """One seed, from start to shutdown.

    Raises:
        AssertionError: something did not hold.
        SimulationError: something was left behind, or nothing could go on.
    """
    rng = random.Random(f"flows/{seed}")
    slow = Fault("/system/*steps*", chance=0.1, seconds=(0.1, 1.5)) if rng.random() < 0.2 else ()
    workers = rng.choice((1, 1, 2, 8))
    sim = SimRuntime(
        seed, faults=Faults(slow=slow), shutdown=1000.0, workers=workers, threads=workers
    )

    async def main(rt: Runtime) -> None:
        watch = Watch()
        flow = Maker(rng, watch).workflow()
        runs = [rt.submit(flow, [1, 2, 7][: rng.randint(0, 3)]) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.3:
            await asyncio.sleep(rng.random() * 2)
            rng.choice(runs).cancel()
        for run in runs:
            try:
                result = await run
            except UnderstudyError as error:
                result = _partial(error)
            verify(flow, "", result, watch)
        await asyncio.sleep(30.0)
        assert not watch.wrong, watch.wrong[0]
        assert not +watch.running, f"still running: {+watch.running}"
        assert rt.ledger.balanced, f"the ledger does not balance: {rt.ledger}"

    sim.run(main)
    return sim


def _partial(error: UnderstudyError) -> WorkflowResult:
    result = error.partial
    assert isinstance(result, WorkflowResult), f"no partial result: {error!r}"
    told = "cancelled" if isinstance(error, RunCancelledError) else result.status
    assert result.status == told, f"{result.status}, and yet {error!r}"
    return result


def verify(spec: WorkflowSpec, path: str, result: WorkflowResult, watch: Watch) -> None:
    """Every promise about the steps of `spec`, run as the step at `path`."""
    if spec.mode == "loop":
        base = path or spec.name
        last = result.iterations if not path else spec.max_iterations
        for number in range(1, last + 1):
            prefix = f"{base}#{number}/"
            if any(each.startswith(prefix) for each in result.steps):
                _verify_steps(spec, prefix, result, watch)
    else:
        _verify_steps(spec, f"{path}/" if path else "", result, watch)


def _verify_steps(spec: WorkflowSpec, prefix: str, result: WorkflowResult, watch: Watch) -> None:
    before: tuple[str, ...] = ()
    for each in spec.steps:
        record = result.steps.get(prefix + each.name)
        assert record is not None, f"{prefix}{each.name} has no record"
        after = each.after if spec.mode == "dag" else before if spec.mode != "parallel" else ()
        before = (each.name,)
        if record.start is None:
            assert record.why or record.error, (
                f"{record.path}: {record.status}, and nobody knows why"
            )
            continue
        for other in after:
            first = result.steps[prefix + other]
            assert first.status != "cancelled", f"{record.path} began, {other} was cancelled"
            if first.end is not None:
                assert first.end <= record.start, f"{record.path} began before {other} had ended"
        _verify_step(each, record.path, result, watch)


def _verify_step(each: StepSpec, path: str, result: WorkflowResult, watch: Watch) -> None:
    done = [record for record in result.steps.values() if record.path.startswith(f"{path}[")]
    if each.each is None:
        done = [result.steps[path]]
    for record in done:
        if "/" in record.path.removeprefix(path):
            continue
        assert record.attempts <= each.retries + 1, f"{record.path}: {record.attempts} attempts"
        if record.status == "completed" and isinstance(each.target, WorkflowSpec):
            assert watch.begun or record.why, f"{record.path} is done, and nothing was done"
        for target in targets(each.target):
            nested = isinstance(target, WorkflowSpec) and record.start is not None
            inner = f"{record.path}/", f"{record.path}#"
            if nested and any(other.startswith(inner) for other in result.steps):
                verify(target, record.path, result, watch)


def _odd(ctx: RunContext) -> bool:
    del ctx
    return True
