"""The lifeline: a pipe that only the parent can write to, and never does.

When the parent is gone, however it went, the kernel closes its end, and the process and everything
that it started must go too. On Linux the kernel itself sends the SIGKILL (`F_SETSIG` on a pipe with
`O_ASYNC`, owned by the process group), so that also a function that never lets go of the GIL ends,
such as a regular expression that backtracks for ever. Elsewhere a thread waits for the end of the
pipe. `PR_SET_PDEATHSIG` would need ctypes, and fires when the parent's *thread* ends.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import threading


def hold(fd: int) -> None:
    """Die when the other end of the pipe `fd` is closed."""
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
        before = select.poll()
        before.register(fd, 0)
        if before.poll(0):  # it was closed before the signal was asked for
            die()
    else:
        hold_by_thread(fd)


def hold_by_thread(fd: int) -> None:
    """The same where the kernel does not help."""
    threading.Thread(target=_wait, args=(fd,), name="understudy-lifeline", daemon=True).start()


def die() -> None:
    """End this process and all of its group."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _wait(fd: int) -> None:
    os.read(fd, 1)  # nothing ever comes, but the end
    die()
