"""No process outlives ours, however ours ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.actors.processes.conftest import HOWS

if TYPE_CHECKING:
    from tests.actors.processes.conftest import Started

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
