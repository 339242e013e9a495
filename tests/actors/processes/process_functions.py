"""What the tests call in another process; found there because its folder is on the import path."""

import asyncio
import atexit
import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import msgspec

from understudy.messages.errors import RateLimitError, ToolError


class City(msgspec.Struct):
    name: str
    at: tuple[int, int]


class ConnectError(Exception):
    """A stranger that is called like one of ours."""


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class OwnError(ToolError):
    """A subclass of ours that the other side does not have."""


def pid() -> int:
    """Who runs here."""
    return os.getpid()


def echo(value: object) -> object:
    """What came."""
    return value


def describe(city: City, when: datetime | None = None) -> str:
    """Say what came, and insist on its types."""
    assert type(city) is City
    assert type(city.at) is tuple
    return f"{city.name} {city.at} {when and when.year}"


async def twice(n: int) -> int:
    """A coroutine."""
    await asyncio.sleep(0)
    return 2 * n


def fail(kind: str) -> None:
    """Raise."""
    if kind == "rate":
        raise RateLimitError("slow down", retry_after=2.5, provider="p")
    if kind == "large":
        raise ToolError("x" * 2_000_000)
    errors = {
        "value": ValueError("boom"),
        "stranger": ConnectError("no route"),
        "own": OwnError("own words"),
        "mute": MuteError(),
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
        "foreign": ValueError("x" * 2_000_000),
    }
    raise errors[kind]


def result(kind: str) -> object:
    """Something that does not encode."""
    if kind == "object":
        return object()
    if kind == "large":
        return b"x" * 2_000_000
    value: list[object] = []
    for _ in range(100):
        value = [value]
    return value


def speak() -> str:
    """Print by every means, and read."""
    print("printed")  # noqa: T201
    print("complained", file=sys.stderr)  # noqa: T201
    os.write(1, b"written\n")
    subprocess.run(["echo", "echoed"], check=True)
    sys.stdout.write("unfinished")
    sys.stdout.flush()
    return sys.stdin.read()


def environment() -> dict[str, str]:
    """All variables."""
    return dict(os.environ)


def inheritable() -> list[int]:
    """Descriptors that a program started from here would get."""
    found = []
    for fd in range(3, 256):
        with contextlib.suppress(OSError):
            if os.get_inheritable(fd):
                found.append(fd)
    return found


def block(fifo: str, how: str) -> None:
    """Say on `fifo` who runs here, then never return."""
    pids = [os.getpid()]
    if how == "family":
        family = subprocess.Popen(["sleep", "1000"])
        pids.append(family.pid)
    Path(fifo).write_text(" ".join(map(str, pids)))
    if how == "gil":
        re.match(r"(a+)+b", "a" * 100)
    os.read(os.pipe()[0], 1)


def die(how: str) -> None:
    """End this process."""
    match how:
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "heir":  # a fork of this process keeps the socket open
            if os.fork() == 0:
                signal.pause()
            os._exit(4)
        case "thread":
            threading.Thread(target=os._exit, args=(5,)).start()
            signal.pause()


def last_words() -> None:
    """Say something and end."""
    print("cannot go on")  # noqa: T201
    os._exit(6)


def scribble() -> None:
    """Write to the socket behind the back of the loop that owns it."""
    for fd in range(3, 256):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
            sock.send(b"\xff" * 64)
    signal.pause()


def hang_up() -> None:
    """Close whatever is open, and go on."""
    os.closerange(3, 256)
    signal.pause()


def leave(path: str) -> None:
    """Leave a mark at an orderly exit."""
    atexit.register(Path(path).touch)


def linger() -> int:
    """Leave a thread behind that keeps the interpreter from ending."""
    threading.Thread(target=signal.sigwait, args=([signal.SIGUSR1],)).start()
    return os.getpid()
