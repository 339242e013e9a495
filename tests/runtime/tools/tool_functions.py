"""Tools that other processes import; found there because this folder is on the import path."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from understudy import RunContext, ToolError, tool


class City(msgspec.Struct):
    """A place."""

    name: str
    people: int = 0


@tool(isolation="process")
def pid(city: City, ctx: RunContext) -> str:
    """Where it runs, and what it was given."""
    return f"{os.getpid() != ctx.get('pid')} {city.name} {type(ctx).__name__}"


@tool(isolation="process")
def write(ctx: RunContext) -> None:
    """Try to write to a copy."""
    ctx["x"] = 1


@tool(isolation="process", timeout=0.2)
def hang() -> None:
    """Never return."""
    while True:
        time.sleep(60)


@tool(isolation="process")
def leave() -> None:
    """End the process."""
    os._exit(3)


@tool(isolation="process")
def fail(told: bool) -> None:
    """Fail, in our words or in Python's."""
    if told:
        raise ToolError("No such city.")
    raise ValueError("boom")


@tool(isolation="process")
def strange() -> Any:
    """Return what does not encode."""
    return object()


@tool(isolation="process")
async def later(n: int) -> int:
    """Async works there too."""
    return n + 1


@tool(isolation="process", effects="none", retries=2)
def third_time(path: str) -> int:
    """Die twice."""
    with Path(path).open("a") as file:
        file.write("x")
    size = Path(path).stat().st_size
    if size < 3:
        os._exit(1)
    return size


def search(query: str, limit: int = 5) -> str:
    """Search the archive.

    Args:
        query: what to look for
        limit: how many
    """
    return f"{query}:{limit}"


@tool(name="other", max_concurrent=2)
async def find(query: str) -> str:
    """Find something."""
    return f"found {query}"


WORKING: list[int] = []


@tool(max_concurrent=1)
async def narrow() -> int:
    """How many work at the moment."""
    WORKING.append(1)
    await asyncio.sleep(0)
    count = len(WORKING)
    WORKING.pop()
    return count
