"""What a call in a worker's process costs, beside the bare pipe that it cannot beat.

    python -m benchmarks.processes [CALLS]

Floor and ours are measured in the same run, alternating, median of five rounds: a ping-pong over
two pipes with blocking reads, with another process; a call through a `ProcessWorker` on a hosted
runtime; and the same from another thread, which pays for its own way to the loop. It also prints
how long a start takes, and how long after a cancellation a function that never lets go of the GIL
is gone.
"""

from __future__ import annotations

import asyncio
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from understudy import Ref, RunCancelledError, Runtime, child
from understudy.actors.processes.worker import ProcessWorker
from understudy.messages.processes import CallFunction

ROUNDS = 5
LIMIT = 200e-6
"""What a call through the actor may cost at the median."""

_ECHO = "import os\nwhile data := os.read(0, 65536): os.write(1, data)"
_STUCK = """
import re
def stuck(path):
    with open(path, "w") as fifo:
        fifo.write("here")
    re.match(r"(a+)+b", "a" * 100)
"""
_PAYLOAD = b"x" * 64


class Times(NamedTuple):
    """Median and 99th percentile, in seconds."""

    p50: float
    p99: float


def measure(calls: int = 2_000) -> dict[str, Times]:
    """Seconds for each kind of call, the median of `ROUNDS` rounds."""
    found: dict[str, list[Times]] = {}
    for _ in range(ROUNDS):
        found.setdefault("bare pipe", []).append(_pipe(calls))
        found.setdefault("call, awaited on the loop", []).append(asyncio.run(_hosted(calls)))
        found.setdefault("call, from a thread", []).append(_threaded(calls))
    return {
        name: Times(*(statistics.median(column) for column in zip(*rounds, strict=True)))
        for name, rounds in found.items()
    }


def measure_start(times: int = 10) -> float:
    """Median seconds from nothing to a worker that takes calls."""
    with Runtime() as rt:
        return statistics.median(
            _timed(lambda: rt.spawn(child(ProcessWorker))) for _ in range(times)
        )


def measure_kill(times: int = 10) -> float:
    """Median seconds from `cancel()` to the end of a process that never lets go of the GIL."""
    with tempfile.TemporaryDirectory() as folder, Runtime() as rt:
        fifo = Path(folder, "fifo")
        os.mkfifo(fifo)
        Path(folder, "stuck_function.py").write_text(_STUCK, encoding="utf-8")
        sys.path.insert(0, folder)
        try:
            worker = rt.spawn(child(ProcessWorker))
            return statistics.median(_killed(worker, fifo) for _ in range(times))
        finally:
            sys.path.remove(folder)


def _pipe(calls: int) -> Times:
    inner, into = os.pipe()
    out, outer = os.pipe()
    echo = subprocess.Popen([sys.executable, "-c", _ECHO], stdin=inner, stdout=outer)  # noqa: S603

    def once() -> None:
        os.write(into, _PAYLOAD)
        os.read(out, 65536)

    once()
    times = _times([_timed(once) for _ in range(calls)])
    os.close(into)
    echo.wait()
    for fd in (inner, out, outer):
        os.close(fd)
    return times


async def _hosted(calls: int) -> Times:
    async with Runtime() as rt:
        worker = await rt.aspawn(child(ProcessWorker))
        message = CallFunction(function="math:gcd", arguments={})
        await worker.request(message)
        taken = []
        for _ in range(calls):
            begin = time.perf_counter()
            await worker.request(message)
            taken.append(time.perf_counter() - begin)
        return _times(taken)


def _threaded(calls: int) -> Times:
    with Runtime() as rt:
        worker = rt.spawn(child(ProcessWorker))
        message = CallFunction(function="math:gcd", arguments={})
        worker.ask(message)
        return _times([_timed(lambda: worker.ask(message)) for _ in range(calls)])


def _killed(worker: Ref[Any], fifo: Path) -> float:
    pid = worker.ask(CallFunction(function="os:getpid"))
    pidfd = os.pidfd_open(pid)
    call = CallFunction(function="stuck_function:stuck", arguments={"path": str(fifo)})
    reply = worker.request(call)
    fifo.read_text(encoding="utf-8")
    begin = time.perf_counter()
    reply.cancel()
    select.select([pidfd], [], [])
    taken = time.perf_counter() - begin
    os.close(pidfd)
    try:
        reply.get()
    except RunCancelledError:
        return taken
    raise AssertionError("a function that never returns has returned")


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _times(taken: list[float]) -> Times:
    taken.sort()
    return Times(taken[len(taken) // 2], taken[len(taken) * 99 // 100])


def main(calls: int = 2_000) -> bool:
    """Print it all; True when a call is within `LIMIT`."""
    found = measure(calls)
    floor = found["bare pipe"]
    for name, (p50, p99) in found.items():
        ratio = f"{p50 / floor.p50:5.1f}x the pipe"
        print(f"{name:28} p50 {p50 * 1e6:7.1f} us   p99 {p99 * 1e6:7.1f} us   {ratio}")
    print(f"{'start, until it takes calls':28} {measure_start() * 1e3:7.1f} ms")
    print(f"{'gone after a cancellation':28} {measure_kill() * 1e3:7.2f} ms")
    reached = found["call, awaited on the loop"].p50 <= LIMIT
    verdict = "held" if reached else "MISSED"
    print(f"a call through the actor: reach <= {LIMIT * 1e6:.0f} us, {verdict}")
    return reached


if __name__ == "__main__":
    sys.exit(0 if main(*map(int, sys.argv[1:])) else 1)
