"""Killed: by cancellation, deadline, timeout, or the actor's end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.actors.processes.conftest import HOWS

from understudy import (
    Actor,
    ActorDeadError,
    DeadlineExceededError,
    Ref,
    RunCancelledError,
    Runtime,
    ToolError,
    child,
)
from understudy.actors.processes.worker import ProcessWorker
from understudy.messages.processes import CallFunction

if TYPE_CHECKING:
    from tests.actors.processes.conftest import Started, To


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
