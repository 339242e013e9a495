"""Doing one thing for many items, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from understudy.messages.errors import ConfigError

T = TypeVar("T")
R = TypeVar("R")


async def fan_out(
    items: Sequence[T], do: Callable[[T], Awaitable[R]], max_concurrent: int
) -> list[R]:
    """`do(item)` for each item, at most `max_concurrent` at a time; results in the items' order.

    Raises:
        ConfigError: `max_concurrent` is below 1.
        Exception: the first failure; the others are cancelled.
    """
    if max_concurrent < 1:
        msg = f"max_concurrent={max_concurrent}: at least 1 is needed"
        raise ConfigError(msg)
    results: dict[int, R] = {}
    numbers = iter(range(len(items)))

    async def work() -> None:
        for number in numbers:
            results[number] = await do(items[number])

    tasks = [asyncio.ensure_future(work()) for _ in range(min(max_concurrent, len(items)))]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return [results[number] for number in range(len(items))]
