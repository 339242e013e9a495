"""The service manager's socket: `READY=1` and its kin, as systemd's `sd_notify` sends them.

The address stands in `NOTIFY_SOCKET`; where there is none, nothing is sent. A datagram that cannot
be sent is nobody's failure: the service works, only its manager does not hear of it, and the log
says so once.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

logger = logging.getLogger("understudy.serve")


class Notifier:
    """Tells the service manager how the process is. Any thread.

    Args:
        environ: where `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are looked for.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte of Linux's abstract names.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._failed = False
        self.watchdog = _interval(environ) if address else None
        """Seconds between signs of life, half of what the manager waits; None: it does not."""

    def ready(self, status: str) -> None:
        """It serves."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """It reads its configuration; `ready` says that it is through."""
        # systemd compares the stamp with its own clock, so it is no port of ours.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading the configuration")

    def stopping(self, seconds: float) -> None:
        """It drains, and takes up to `seconds` for it."""
        status = f"STATUS=draining for up to {seconds:g} s"
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int((seconds + 1) * 1e6)}", status)

    def alive(self) -> None:
        """A sign of life."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._failed:
                self._failed = True
                logger.warning("the service manager cannot be told: %s", error)


def _interval(environ: Mapping[str, str]) -> float | None:
    """Half of `WATCHDOG_USEC` in seconds, where it is meant for this process."""
    pid = environ.get("WATCHDOG_PID", "")
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    if microseconds <= 0 or (pid and pid != str(os.getpid())):
        return None
    return microseconds / 2e6
