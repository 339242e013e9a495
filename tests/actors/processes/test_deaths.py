"""Processes that die by themselves: how it is told, and that the next call works."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from typing import TYPE_CHECKING, Any

import pytest

from understudy import CodecError, Ref, Runtime, ToolError, child
from understudy.actors.processes.requests import decode_answer, encode_call
from understudy.actors.processes.worker import ProcessWorker

if TYPE_CHECKING:
    from tests.actors.processes.conftest import To


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
