"""A worker, calls of our functions, and ways to watch processes without waiting for a clock."""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from understudy import Ref, Runtime, child
from understudy.actors.processes.worker import ProcessWorker
from understudy.messages.processes import CallFunction

PATIENCE = 20.0
HOWS = ["pipe", "gil", "family"]
"""What `block` does so that it never returns."""

To = Callable[..., CallFunction]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def worker(runtime: Runtime) -> Ref[Any]:
    """A worker in a process."""
    return runtime.spawn(child(ProcessWorker))


@pytest.fixture
def to() -> To:
    """Makes a call of one of our functions."""

    def call(function: str, timeout: float | None = None, **arguments: Any) -> CallFunction:
        path = f"process_functions:{function}"
        return CallFunction(function=path, arguments=arguments, timeout=timeout)

    return call


class Started:
    """What `block` says: the processes that run, held by pidfds so that no number is reused."""

    def __init__(self, fifo: Path) -> None:
        os.mkfifo(fifo)
        self.fifo = str(fifo)
        self._fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.pids: list[int] = []
        self._pidfds: list[int] = []

    def wait(self) -> list[int]:
        """Block until the function runs; the pids of its process and of what it started."""
        assert select.select([self._fd], [], [], PATIENCE)[0], "the function was not called"
        self.pids = [int(word) for word in os.read(self._fd, 4096).split()]
        self._pidfds = [os.pidfd_open(pid) for pid in self.pids]
        return self.pids

    def wait_gone(self) -> None:
        """Block until all of them have ended."""
        for pidfd in self._pidfds:
            assert select.select([pidfd], [], [], PATIENCE)[0], "a process goes on"

    def close(self) -> None:
        """Let go of the pidfds."""
        for fd in (self._fd, *self._pidfds):
            os.close(fd)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """For calls of `block`."""
    fifo = Started(tmp_path / "started")
    yield fifo
    fifo.close()


@pytest.fixture
def is_reaped() -> Callable[[int], bool]:
    """Tells whether a pid is no child of ours any more, not even a zombie."""

    def check(pid: int) -> bool:
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return False

    return check


@pytest.fixture(params=["pidfd", "looking"])
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How an exit is noticed: on Linux, and elsewhere."""
    if request.param == "looking":
        monkeypatch.setattr("understudy.actors.processes.exits.pidfd_open", lambda _: -1)
    return str(request.param)
