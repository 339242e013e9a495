"""Killed: by cancellation, deadline, timeout, the actor's end and ours; or dead by itself."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from understudy import (
    Actor,
    ActorDeadError,
    CodecError,
    DeadlineExceededError,
    Ref,
    RunCancelledError,
    Runtime,
    ToolError,
    child,
)
from understudy.actors.processes.requests import decode_answer, encode_call
from understudy.actors.processes.worker import ProcessWorker
from understudy.messages.processes import CallFunction

if TYPE_CHECKING:
    from tests.actors.processes.conftest import Started, To

HOWS = ["pipe", "gil", "family"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.usefixtures("watched")
def test_a_cancelled_call_is_killed_and_the_next_gets_a_fresh_process(
    worker: Ref[Any],
    to: To,
    started: Started,
    how: str,
    is_reaped: Callable[[int], bool],
) -> None:
    """Whatever blocks it, and with everything that it started."""
    reply = worker.request(to("block", fifo=started.fifo, how=how))
    pids = started.wait()
    reply.cancel()
    with pytest.raises(RunCancelledError):
        reply.get()
    started.wait_gone()
    assert worker.ask(to("pid")) not in pids
    worker.stop().get()
    assert is_reaped(pids[0])


def test_a_call_is_killed_at_its_timeout(worker: Ref[Any], to: To, started: Started) -> None:
    """The error names the function."""
    worker.ask(to("pid"))  # so that the module is imported
    reply = worker.request(to("block", timeout=0.5, fifo=started.fifo, how="gil"))
    started.wait()
    with pytest.raises(DeadlineExceededError, match="process_functions:block did not return"):
        reply.get()
    started.wait_gone()


def test_a_call_is_killed_at_the_deadline_of_its_message(
    worker: Ref[Any], to: To, started: Started
) -> None:
    """Who asked is answered by the kernel, as for any other actor."""
    worker.ask(to("pid"))  # so that the module is imported
    reply = worker.request(to("block", fifo=started.fifo, how="pipe"), timeout=0.5)
    started.wait()
    with pytest.raises(DeadlineExceededError):
        reply.get()
    started.wait_gone()


class Teller(Actor):
    """Passes messages on without waiting for answers."""

    def __init__(self, receiver: Ref[Any]) -> None:
        self._receiver = receiver

    def on_receive(self, message: CallFunction) -> bool:
        return self._receiver.tell(message)


def test_a_message_that_nobody_waits_for_is_killed_at_its_deadline_too(
    runtime: Runtime, worker: Ref[Any], to: To, started: Started
) -> None:
    """It has inherited one, and there is no request that could expire."""
    worker.ask(to("pid"))  # so that the module is imported
    teller = runtime.spawn(child(Teller, worker))
    assert teller.ask(to("block", fifo=started.fifo, how="pipe"), timeout=0.5)
    started.wait()
    started.wait_gone()
    assert worker.ask(to("echo", value=1)) == 1


def test_the_timeout_includes_the_start(
    runtime: Runtime, to: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call cannot wait for ever for a process that does not come up."""
    worker = runtime.spawn(child(ProcessWorker, warm=False))
    with monkeypatch.context() as mute:
        mute.setattr("understudy.actors.processes.process.child_command", _sleeps)
        with pytest.raises(DeadlineExceededError, match="did not return in time"):
            worker.ask(to("pid", timeout=0.1))
    assert worker.ask(to("echo", value=1)) == 1


def test_a_process_that_never_says_its_first_word_is_killed(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spawner hears of it."""
    monkeypatch.setattr("understudy.actors.processes.process.child_command", _sleeps)
    monkeypatch.setattr("understudy.actors.processes.process.START_TIMEOUT", 0.1)
    with pytest.raises(ToolError, match=r"did not start within 0\.1 seconds") as caught:
        runtime.spawn(child(ProcessWorker))
    assert caught.value.retryable


def _sleeps(fd: int) -> list[str]:
    assert fd > 2
    return ["sleep", "1000"]


@pytest.mark.parametrize(
    ("how", "fate"),
    [
        ("exit", "exit status 3"),
        ("segfault", "killed by SIGSEGV"),
        ("kill", "killed by SIGKILL"),
        ("heir", "exit status 4"),
        ("thread", "exit status 5"),
    ],
)
@pytest.mark.usefixtures("watched")
def test_a_process_that_dies_is_an_error_that_says_how(
    worker: Ref[Any], to: To, how: str, fate: str
) -> None:
    """Never a hang, also when a fork of it still holds the socket; the next call works."""
    pid = worker.ask(to("pid"))
    with pytest.raises(ToolError, match=f"ended in process_functions:die: {fate}") as caught:
        worker.ask(to("die", how=how))
    assert caught.value.tool == "process_functions:die"
    assert worker.ask(to("pid")) != pid


def test_the_last_words_of_a_process_hang_on_its_error(
    runtime: Runtime, to: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that one need not look for them in the log; nothing of them waits in a buffer."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    worker = runtime.spawn(child(ProcessWorker))
    with pytest.raises(ToolError, match="exit status 6") as caught:
        worker.ask(to("last_words"))
    assert caught.value.__notes__ == ["Its last words:\ncannot go on"]


def test_a_process_that_writes_to_its_socket_is_not_trusted(worker: Ref[Any], to: To) -> None:
    """What is no frame ends it."""
    pid = worker.ask(to("pid"))
    with pytest.raises(CodecError, match="no answer: a frame of"):
        worker.ask(to("scribble"))
    assert worker.ask(to("pid")) != pid


def test_a_process_that_hangs_up_is_ended(worker: Ref[Any], to: To) -> None:
    """It could never answer."""
    with pytest.raises(ToolError, match="killed by SIGKILL"):
        worker.ask(to("hang_up"))
    assert worker.ask(to("echo", value=1)) == 1


@pytest.mark.anyio
async def test_a_process_that_dies_between_calls_is_replaced(to: To) -> None:
    """Noticed when it happens; no call is lost."""
    async with Runtime() as rt:
        worker = await rt.aspawn(child(ProcessWorker))
        pid = await worker.request(to("pid"))
        process = worker._cell.actor._process
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            await process.ended
        assert await worker.request(to("pid")) != pid


@pytest.mark.anyio
async def test_an_answer_that_came_just_before_the_end_counts(to: To) -> None:
    """Although the end is noticed first."""
    async with Runtime() as rt:
        worker = await rt.aspawn(child(ProcessWorker))
        process = worker._cell.actor._process
        answer = asyncio.ensure_future(process.call(encode_call(1, to("echo", value=1)), "echo"))
        await asyncio.sleep(0)
        assert select.select([process._connection._sock], [], [], 20)[0]
        pidfd = os.pidfd_open(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        assert select.select([pidfd], [], [], 20)[0]
        os.close(pidfd)
        process._watch._ended()
        assert decode_answer(await answer, 1, "echo").value == 1  # type: ignore[union-attr]


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


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.usefixtures("watched")
@pytest.mark.unquiet(dead_letters=("killed",))
def test_killing_the_actor_kills_the_process(
    worker: Ref[Any],
    to: To,
    started: Started,
    busy: bool,
    is_reaped: Callable[[int], bool],
) -> None:
    """Idle or busy, it is gone when the actor is."""
    pid = worker.ask(to("pid"))
    if busy:
        reply = worker.request(to("block", fifo=started.fifo, how="gil"))
        started.wait()
    worker.kill().get()
    if busy:
        with pytest.raises(ActorDeadError):
            reply.get()
        started.wait_gone()
    assert busy or is_reaped(pid)


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


@pytest.mark.unquiet(dead_letters=("killed", "shutdown"))
def test_a_runtime_that_stops_kills_what_does_not_end(to: To, started: Started) -> None:
    """One total deadline, and the ledger balances."""
    rt = Runtime()
    rt.start()
    worker = rt.spawn(child(ProcessWorker))
    reply = worker.request(to("block", fifo=started.fifo, how="gil"))
    started.wait()
    report = rt.stop(timeout=1.5)
    assert report.ledger.balanced
    assert report.abandoned == ()
    started.wait_gone()
    assert reply.done


@pytest.mark.anyio
async def test_cancelling_the_task_that_waits_kills_the_call(to: To, started: Started) -> None:
    """On a hosted runtime, with asyncio's own means."""
    async with Runtime() as rt:
        worker = await rt.aspawn(child(ProcessWorker))

        async def ask() -> None:
            await worker.request(to("block", fifo=started.fifo, how="pipe"))

        task = asyncio.create_task(ask())
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(started.wait_gone)
        assert await worker.request(to("echo", value=1)) == 1


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


PARENT = """
    import os, signal, sys
    sys.path.insert(0, {folder!r})
    from understudy import Runtime, child
    from understudy.actors.processes.worker import ProcessWorker
    from understudy.messages.processes import CallFunction

    rt = Runtime()
    rt.start()
    worker = rt.spawn(child(ProcessWorker))
    arguments = {{"fifo": {fifo!r}, "how": {how!r}}}
    worker.request(CallFunction(function="process_functions:block", arguments=arguments))
    if {waits}:
        signal.pause()
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", HOWS)
def test_a_process_does_not_outlive_ours(started: Started, how: str) -> None:
    """Not even when ours is killed, the function never lets go of the GIL, or has children."""
    text = _parent(started, how, waits=True)
    with subprocess.Popen([sys.executable, "-c", text]) as parent:
        try:
            started.wait()
        finally:
            parent.kill()
    started.wait_gone()


def test_a_program_that_ends_does_not_wait_for_a_stuck_process(started: Started) -> None:
    """Nothing joins, nothing hangs, and the process is gone."""
    text = _parent(started, "gil", waits=False)
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", text], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        started.wait()
        _, errors = program.communicate(timeout=20)
        assert (program.returncode, errors) == (0, b"")
    started.wait_gone()


def _parent(started: Started, how: str, *, waits: bool) -> str:
    folder = str(Path(__file__).parent)
    text = textwrap.dedent(PARENT)
    return text.format(folder=folder, fifo=started.fifo, how=how, waits=waits)


def test_the_lifeline_holds_where_the_kernel_does_not_help() -> None:
    """A thread waits for the end of the pipe there."""
    code = (
        "import os, signal\n"
        "from understudy.actors.processes.lifeline import hold_by_thread\n"
        "hold_by_thread(0)\n"
        "print('held', flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.stdin.close()
        assert process.wait(20) == -signal.SIGKILL


def test_a_lifeline_that_was_cut_before_it_was_held_is_noticed() -> None:
    """The parent can die while the process starts."""
    code = "from understudy.actors.processes.lifeline import hold; hold(0); input()"
    ours, theirs = os.pipe()
    os.close(theirs)
    with os.fdopen(ours) as cut:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=cut, start_new_session=True, timeout=20, check=False
        )
    assert done.returncode == -signal.SIGKILL
