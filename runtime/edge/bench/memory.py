"""What agents, actors, runs and streams weigh, while many of them are there at once.

    python -m understudy.runtime.edge.bench.memory traced | resident

Each way of weighing has a process of its own: tracemalloc itself takes memory, and what was freed
before would be taken again. Nothing is let go of in between, so each kind is what was added. A run
that is over is weighed too: what is left of it should be next to nothing.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.messages.errors import UnderstudyError
from understudy.runtime.agent import Agent
from understudy.runtime.edge.load.in_process import InProcessModel
from understudy.runtime.runtime import Runtime
from understudy.testing.fake_model import FakeModel

STATM = Path("/proc/self/statm")
KINDS = {
    "an Agent": 5_000,
    "an idle actor": 2_000,
    "a run under way": 500,
    "an open stream": 200,
    "a run that is over": 1_000,
}
"""How many of each."""


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of one; None where this system does not tell."""

    kind: str
    count: int
    traced: float | None
    resident: float | None


class Idle(Actor):
    """Waits."""

    async def on_receive(self, message: int) -> int:
        """Answer."""
        return message


def weigh(divisor: int = 1) -> list[Weight]:
    """Every kind, by tracemalloc and by the resident set, in two processes.

    Raises:
        UnderstudyError: one of them ended without a result.
    """
    children = [_start(how, divisor) for how in ("traced", "resident")]
    try:
        traced, resident = map(_result, children)
    finally:
        for child in children:
            child.kill()
            child.communicate()
    return [
        Weight(
            kind=kind,
            count=_count(count, divisor),
            traced=traced[kind],
            resident=resident[kind],
        )
        for kind, count in KINDS.items()
    ]


def _start(how: str, divisor: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "understudy.runtime.edge.bench.memory", how, str(divisor)]
    return subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _result(child: subprocess.Popen[bytes]) -> dict[str, float | None]:
    out, said = child.communicate()
    if child.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or [f"code {child.returncode}"]
        raise UnderstudyError(f"weighing failed: {lines[-1]}")
    return msgspec.json.decode(out, type=dict[str, float | None])


async def weigh_here(used: Callable[[], float | None], divisor: int) -> dict[str, float | None]:
    """Bytes of one of each kind, as `used` tells them."""
    kept: list[Any] = []  # Any: whatever is weighed
    found: dict[str, float | None] = {}
    async with Runtime(name="weigh") as rt:
        held = asyncio.Event()
        model = InProcessModel()
        waiting = Agent(_Held(held))
        talking = Agent(FakeModel(lambda _: _words(held)))

        async def agents() -> None:
            kept.append(Agent("openai:gpt-5-mini", instructions="Be terse.", temperature=0.0))

        async def actors() -> None:
            kept.append(await rt.aspawn(Idle))

        async def runs() -> None:
            kept.append(rt.submit(waiting, "x"))
            await asyncio.sleep(0)

        async def streams() -> None:
            kept.append(stream := talking.astream("x", runtime=rt))
            await anext(aiter(stream))

        async def over() -> None:
            await rt.arun(Agent(model), "x")

        works = dict(zip(KINDS, (agents, actors, runs, streams, over), strict=True))
        for kind, work in works.items():
            found[kind] = await _weigh_one(work, used, _count(KINDS[kind], divisor))
        held.set()
        await rt.astop(timeout=5.0, drain=False)
    return found


def _count(count: int, divisor: int) -> int:
    return max(1, count // divisor)


async def _weigh_one(
    work: Callable[[], Awaitable[None]], used: Callable[[], float | None], count: int
) -> float | None:
    await work()  # what is made at its first use is made now
    gc.collect()
    before = used()
    for _ in range(count):
        await work()
    gc.collect()
    after = used()
    return None if before is None or after is None else max(0.0, after - before) / count


class _Held(InProcessModel):
    """Answers when it is let go of."""

    def __init__(self, held: asyncio.Event) -> None:
        super().__init__()
        self._held = held

    async def complete(self, request: Any, *, timeout: float | None = None) -> Any:  # Any: as there
        """When `held` is set."""
        await self._held.wait()
        return await super().complete(request, timeout=timeout)


async def _words(held: asyncio.Event) -> Any:  # Any: an async iterator of texts
    yield "word "
    await held.wait()


def traced_bytes() -> float:
    """Bytes that Python has allocated."""
    return float(tracemalloc.get_traced_memory()[0])


def resident_bytes() -> float | None:
    """Bytes of this process in memory; None where the system does not tell."""
    if not STATM.exists():
        return None
    import os

    pages = int(STATM.read_text(encoding="ascii").split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def main(how: str, divisor: str) -> None:
    """Weigh in this process, and print it as JSON."""
    used: Callable[[], float | None] = resident_bytes
    if how == "traced":
        tracemalloc.start()
        used = traced_bytes
    found = asyncio.run(weigh_here(used, int(divisor)))
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
