"""Noticing that a process has ended, on the loop and without a thread.

On Linux a pidfd becomes readable when the process ends, also when something that it started still
holds its socket. Elsewhere the loop looks every 20 ms. asyncio's own child watchers are a thread a
process before Python 3.12, and belong to the main thread's loop on some platforms.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable

_LOOK_EVERY = 0.02


class ExitWatch:
    """Calls `on_exit` once, on the loop, when `process` has ended; it is not reaped before.

    Where there are no pidfds it has been reaped then.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        process: subprocess.Popen[bytes],
        on_exit: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._process = process
        self._on_exit = on_exit
        self._pidfd = pidfd_open(process.pid)
        self._bell: asyncio.TimerHandle | None = None
        if self._pidfd >= 0:
            loop.add_reader(self._pidfd, self._ended)
        else:
            self._bell = loop.call_later(_LOOK_EVERY, self._look)

    def close(self) -> None:
        """Watch no more."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._bell is not None:
            self._bell.cancel()
            self._bell = None

    def _look(self) -> None:
        if self._process.poll() is None:
            self._bell = self._loop.call_later(_LOOK_EVERY, self._look)
        else:
            self._ended()

    def _ended(self) -> None:
        self.close()
        self._on_exit()


def pidfd_open(pid: int) -> int:
    """A descriptor that is readable when the process has ended; -1 where there is none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, an old kernel, or no descriptors left
        return -1
