"""Lives of a worker: stops, restarts, how many calls, how many start at a time."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from understudy import DeadlineExceededError, Ref, Runtime, ToolError, child
from understudy.actors.processes.worker import ProcessWorker

if TYPE_CHECKING:
    from tests.actors.processes.conftest import Started, To


def test_an_orderly_stop_lets_the_process_end_by_itself(
    worker: Ref[Any], to: To, tmp_path: Path, is_reaped: Callable[[int], bool]
) -> None:
    """Its exit handlers run, and it is reaped when the actor has ended."""
    pid = worker.ask(to("pid"))
    worker.ask(to("leave", path=str(tmp_path / "mark")))
    worker.stop().get()
    assert (tmp_path / "mark").exists()
    assert is_reaped(pid)


def test_a_process_that_does_not_end_at_a_stop_is_killed(
    worker: Ref[Any], to: To, monkeypatch: pytest.MonkeyPatch, is_reaped: Callable[[int], bool]
) -> None:
    """A thread that somebody left there keeps nobody waiting."""
    monkeypatch.setattr("understudy.actors.processes.process.GRACE", 0.05)
    pid = worker.ask(to("linger"))
    worker.stop().get()
    assert is_reaped(pid)


def test_a_restart_brings_a_fresh_process(worker: Ref[Any], to: To, tmp_path: Path) -> None:
    """The old one ends with the old life, in an orderly way."""
    worker.ask(to("leave", path=str(tmp_path / "mark")))
    pid = worker.ask(to("pid"))
    old = os.pidfd_open(pid)
    worker.restart().get()
    assert worker.ask(to("pid")) != pid
    assert select.select([old], [], [], 20)[0]
    os.close(old)
    assert (tmp_path / "mark").exists()


def test_a_process_serves_no_more_than_max_calls(runtime: Runtime, to: To) -> None:
    """Then comes the next one."""
    worker = runtime.spawn(child(ProcessWorker, max_calls=2))
    pids = [worker.ask(to("pid")) for _ in range(5)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


def test_no_more_processes_start_at_a_time_than_there_are_cpus(
    runtime: Runtime, to: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool that starts takes nobody's machine away."""
    from understudy.actors.processes import process
    from understudy.actors.processes import worker as worker_module

    starting, peak = 0, 0

    class Counted(process.WorkerProcess):
        async def ready(self) -> None:
            nonlocal starting, peak
            starting += 1
            peak = max(peak, starting)
            await super().ready()
            starting -= 1

    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(worker_module, "WorkerProcess", Counted)
    pool = runtime.pool("cpu", child(ProcessWorker), size=5)
    pool.submit(to("pid")).get()
    assert peak == 2


def test_everything_works_on_uvloop(to: To, started: Started) -> None:
    """Large messages, kills, deaths and stops, hosted."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with Runtime() as rt:
            worker = await rt.aspawn(child(ProcessWorker))
            data = b"x" * 1_000_000
            assert await worker.request(to("echo", value=data)) == data
            with pytest.raises(DeadlineExceededError):
                await worker.request(to("block", timeout=0.2, fifo=os.devnull, how="gil"))
            with pytest.raises(ToolError, match="SIGSEGV"):
                await worker.request(to("die", how="segfault"))
            assert await worker.request(to("echo", value=1)) == 1
            await worker.kill()

    uvloop.run(main())
