"""One worker's process: started, called, ended.

Guarantees
- `kill` sends SIGKILL to the process and to everything it started (its process group), at once.
- A process that has ended is noticed, whatever it still holds open, and reaped on the loop; whoever
  waited for its answer is told its exit status or signal.
- The process does not outlive ours, however ours ends (see `lifeline`).
- Nothing here blocks the loop, but for the start itself: about 1 ms of `vfork` and `exec`, which
  does not grow with our size, because nothing is copied; and `end`.

It is started by `subprocess`, in a session of its own: Ctrl-C at the terminal is for us, and what
we then do with the process is our decision. Nothing of our memory, threads or locks is in it.

POSIX only: process groups, and a socket that is handed down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import weakref
from collections.abc import Mapping
from io import FileIO

from understudy.actors.kernel.system import ActorSystem
from understudy.actors.processes.connection import Connection
from understudy.actors.processes.environment import child_command, child_environment
from understudy.actors.processes.exits import ExitWatch
from understudy.actors.processes.output import Output, logger
from understudy.messages.codec import decode
from understudy.messages.errors import ToolError
from understudy.messages.processes import ProcessAnswer, Ready

START_TIMEOUT = 30.0
"""Seconds in which a process must have said its first word."""
GRACE = 1.0
"""Seconds that a process which was told to end may take."""
REAP_TIMEOUT = 0.1
"""Seconds that the loop waits, at most, for a process that was sent SIGKILL (see `end`)."""


class WorkerProcess:
    """See the module's docstring. All methods run on the loop's thread.

    Args:
        system: whose loop and clock are used.
        name: of the actor it belongs to; stands in the log and in errors.
        env: variables on top of the allowed ones.

    Raises:
        ConfigError: there is no interpreter to start.
        ToolError: the operating system has no process for us; `retryable`.
    """

    def __init__(self, system: ActorSystem, name: str, env: Mapping[str, str]) -> None:
        loop = system.loop
        self._system = system
        self._name = name
        self._closing = False
        self._hung_up = False
        self._serving = "its start"
        self.calls = 0
        """Calls made so far."""
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done when the process has ended and was reaped."""
        self._popen, ours, output = _start(name, env)
        self._last_resort = weakref.finalize(
            self, _last_resort, self._popen, (ours, output), os.getpid()
        )
        self._connection = Connection(loop, ours, self._lost)
        self._output = Output(loop, output, f"{name} (process {self.pid})")
        self._watch = ExitWatch(loop, self._popen, self._exited)

    @property
    def pid(self) -> int:
        """Its number, which is also that of its group."""
        return self._popen.pid

    @property
    def usable(self) -> bool:
        """True while it can take calls."""
        return not (self._closing or self._hung_up or self.ended.done())

    async def ready(self) -> None:
        """Wait for its first word; it is killed when that does not come.

        Raises:
            ToolError: it ended, or said nothing for `START_TIMEOUT` seconds.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT):
                first = await self._connection.answer()
        except TimeoutError:
            self.kill()
            msg = f"{self._name}: its process did not start within {START_TIMEOUT:g} seconds"
            raise ToolError(msg, actor=self._name, retryable=True) from None
        except BaseException:
            self.kill()
            raise
        if not isinstance(decode(first, ProcessAnswer), Ready):
            self.kill()
            raise ToolError(f"{self._name}: its process is not ours", actor=self._name)

    async def call(self, request: bytes, function: str) -> bytes:
        """Send a call and wait for its answer; the process is killed when the wait is cancelled.

        Raises:
            ToolError: it ended before it answered; names the status or the signal.
        """
        self.calls += 1
        self._serving = function
        try:
            return await self._connection.answer(request)
        except BaseException:
            self.kill()
            raise

    def close(self) -> None:
        """Tell it to end; it is killed when it has not within `GRACE`, or is busy."""
        if self._connection.busy:
            self.kill()
        elif self.usable:
            self._closing = True
            self._connection.close()
            bell = self._system.after(GRACE, self.kill)
            self.ended.add_done_callback(lambda _: bell.cancel())

    def kill(self) -> None:
        """End it and everything it started, now; `ended` follows when it was reaped."""
        self._closing = True
        _kill_group(self._popen)

    def end(self) -> None:
        """Kill it and see it gone: for an actor that is killed, whose loop may stop right after.

        This blocks the loop for the few milliseconds that a killed process takes to go.
        """
        self.kill()
        if not self.ended.done():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(REAP_TIMEOUT)
                self._watch.close()
                self._exited()

    def _lost(self) -> None:
        """The other end of the socket was closed: it is ending, or must not go on."""
        self._hung_up = True
        _kill_group(self._popen)

    def _exited(self) -> None:
        """The process has ended; it keeps its number until it is reaped, and so does its group."""
        _kill_group(self._popen)
        status = self._popen.wait()
        self._connection.drain()
        self._output.close()
        if not (self._closing or self._connection.busy):
            logger.warning("%s: process %d ended unasked: %s", self._name, self.pid, _how(status))
        self._connection.fail(self._death(status))
        self._connection.close()
        _cut_lifeline(self._popen)
        self._last_resort.detach()
        self.ended.set_result(None)

    def _death(self, status: int) -> ToolError:
        error = ToolError(
            f"the process of {self._name} ended in {self._serving}: {_how(status)}",
            tool=self._serving,
            actor=self._name,
        )
        if self._output.last:
            error.add_note("Its last words:\n" + "\n".join(self._output.last))
        return error


def _start(
    name: str, env: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], socket.socket, FileIO]:
    """The process, our end of its socket, what it prints. Its standard input is the lifeline."""
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    output = FileIO(reading)
    try:
        popen = subprocess.Popen(  # noqa: S603 - our own interpreter and code, no shell
            child_command(theirs.fileno()),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=writing,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            env=child_environment(os.environ, env),
        )
    except BaseException as error:
        ours.close()
        output.close()
        if not isinstance(error, OSError):
            raise
        msg = f"{name}: cannot start a process: {error}"
        raise ToolError(msg, actor=name, retryable=True) from error
    finally:
        theirs.close()
        os.close(writing)
    return popen, ours, output


def _kill_group(popen: subprocess.Popen[bytes]) -> None:
    if popen.returncode is not None:
        return  # reaped: the number may be somebody else's by now
    # macOS refuses (EPERM) when there are only zombies left in the group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(popen.pid, signal.SIGKILL)


def _how(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _cut_lifeline(popen: subprocess.Popen[bytes]) -> None:
    if popen.stdin is not None:
        popen.stdin.close()


def _last_resort(
    popen: subprocess.Popen[bytes], ends: tuple[socket.socket, FileIO], owner: int
) -> None:
    """The loop was closed under us, or the interpreter ends: leave no process and no zombie."""
    if os.getpid() != owner:
        return  # a fork of ours: the process is not its own
    _kill_group(popen)
    popen.wait()
    _cut_lifeline(popen)
    for end in ends:
        end.close()
