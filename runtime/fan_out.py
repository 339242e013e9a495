"""Doing one thing for many items, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar

from understudy.messages.errors import ConfigError

T = TypeVar("T")
R = TypeVar("R")

OnFailure = Literal["fail_fast", "collect"]


async def fan_out(
    items: Sequence[T],
    do: Callable[[T], Awaitable[R]],
    max_concurrent: int,
    *,
    on_error: OnFailure = "fail_fast",
    ordered: bool = True,
) -> list[Any]:  # Any: R, with `collect` also exceptions
    """`do(item)` for each item, at most `max_concurrent` at a time.

    Args:
        items: what for.
        do: what.
        max_concurrent: how many at a time.
        on_error: `collect` puts an item's error in the place of its result.
        ordered: results in the items' order; False: in the order in which they came.

    Raises:
        ConfigError: `max_concurrent` is below 1, or `on_error` is neither.
        Exception: the first failure, with `fail_fast`; the others are cancelled.
    """
    if max_concurrent < 1:
        msg = f"max_concurrent={max_concurrent}: at least 1 is needed"
        raise ConfigError(msg)
    if on_error not in ("fail_fast", "collect"):
        msg = f"on_error={on_error!r}: it is 'fail_fast' or 'collect'"
        raise ConfigError(msg)
    results: dict[int, Any] = {}  # Any: R, or an exception; in the order in which they came
    numbers = iter(range(len(items)))

    async def work() -> None:
        for number in numbers:
            try:
                results[number] = await do(items[number])
            except Exception as error:
                if on_error == "fail_fast":
                    raise
                results[number] = error

    tasks = [asyncio.ensure_future(work()) for _ in range(min(max_concurrent, len(items)))]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return [results[number] for number in range(len(items))] if ordered else list(results.values())
