"""What a simulation is asked at its end, and what it says when it cannot go on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from understudy.actors.kernel.dispatchers.runner import Runner
from understudy.actors.kernel.dispatchers.sim_baton import Baton
from understudy.actors.kernel.dispatchers.sim_loop import SimLoop, SimulationError
from understudy.actors.kernel.sim_system import SimSystem
from understudy.messages.control import ShutdownReport

_ASYNCIO = str(Path(asyncio.__file__).parent)


def check(system: SimSystem, report: ShutdownReport, loop: SimLoop, baton: Baton) -> None:
    """See that a run that is over has left nothing behind.

    Raises:
        SimulationError: names all that was left.
    """
    ledger = system.ledger()
    problems: list[str] = []
    if not ledger.balanced:
        problems.append(f"the ledger does not balance: {ledger}")
    elif ledger.queued + ledger.stashed + ledger.running:
        problems.append(f"messages were left: {ledger}")
    problems += [f"{path} was abandoned" for path in report.abandoned]
    unanswered = system.unanswered()
    if unanswered:
        problems.append(f"{len(unanswered)} asks were never answered: {', '.join(unanswered)}")
    tasks = sorted(asyncio.all_tasks(loop), key=hash)
    problems += [f"a task was left: {_where(task)}" for task in tasks]
    problems += [f"{helper.thread.name} did not end" for helper in baton.helpers.values()]
    problems += [f"{who} reached into the simulation" for who in loop.trespassers]
    problems += [_what(context) for context in loop.errors]
    if problems:
        causes = (context.get("exception") for context in loop.errors)
        cause = next((each for each in causes if each is not None), None)
        raise SimulationError("; ".join(problems)) from cause


def who_waits(system: SimSystem, loop: SimLoop) -> str:
    """Who is in the middle of something: tasks, and actors with messages."""
    said: list[str] = []
    tasks = [task for task in sorted(asyncio.all_tasks(loop), key=hash) if not _is_runner(task)]
    if tasks:
        said.append(f"Tasks: {'; '.join(_where(task) for task in tasks)}.")
    actors: list[str] = []
    for cell in system.cells():
        node = cell.node()
        facts = [] if node.current is None else [f"in {node.current}"]
        if node.owed:
            facts.append(f"owes {node.owed} deferred answers")
        if node.mailbox.depth:
            facts.append(f"{node.mailbox.depth} queued")
        waits = [each.cell.path for each in cell.waits_for or () if each.cell is not None]
        if waits:
            facts.append("waits for " + ", ".join(waits))
        if facts:
            actors.append(f"{node.path} ({node.state}: {', '.join(facts)})")
    if actors:
        said.append(f"Actors: {'; '.join(actors)}.")
    said.append(f"Handled last: {'; '.join(list(system.trace.last)[-3:]) or 'nothing'}.")
    return " ".join(said)


def _is_runner(task: asyncio.Task[Any]) -> bool:  # Any: what tasks return
    return getattr(task.get_coro(), "__qualname__", "") == Runner.main.__qualname__


def _where(task: asyncio.Task[Any]) -> str:  # Any: what tasks return
    """The innermost coroutine in which a task waits, but for those of asyncio itself."""
    inner: Any = task.get_coro()  # Any: asyncio's chain of coroutines and generators
    coroutine = inner
    while getattr(getattr(inner, "cr_await", None), "cr_frame", None) is not None:
        inner = inner.cr_await
        if not inner.cr_code.co_filename.startswith(_ASYNCIO):
            coroutine = inner
    frame = getattr(coroutine, "cr_frame", None)
    name = getattr(coroutine, "__qualname__", repr(coroutine))
    if frame is None:
        return name
    return f"{name} ({frame.f_code.co_filename}:{frame.f_lineno})"


def _what(context: dict[str, Any]) -> str:  # Any: asyncio's exception context
    error = context.get("exception")
    said = context.get("message", "an error on the loop")
    return said if error is None else f"{said}: {error!r}"
