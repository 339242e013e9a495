"""Going on with a coroutine whose first step was taken by hand.

A runner starts a handler itself, because most end there. One that suspends is held together with
what it waits for, and is then awaited as if the runner's task had done so from the beginning.
"""

from __future__ import annotations

import types
from asyncio import CancelledError
from collections.abc import Coroutine, Generator
from typing import Any


@types.coroutine
def resume(
    coroutine: Coroutine[Any, Any, Any],
    waits_on: Any,
    thrown: BaseException | None,
) -> Generator[Any, Any, Any]:  # Any: asyncio's protocol between a task and what it awaits
    """Go on with a coroutine that has already been started, as `await` would."""
    while True:
        try:
            if thrown is not None:
                error, thrown = thrown, None
                # As a task does it that is cancelled: what is waited for is cancelled with it, else
                # an inner task runs on, or a socket is closed under a connect that is still tried.
                if isinstance(error, CancelledError) and hasattr(waits_on, "cancel"):
                    waits_on.cancel()
                raise error
            yield waits_on
        except BaseException as error:
            try:
                waits_on = coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
        else:
            break
    waits_on = None  # it is over; this frame lasts
    return (yield from coroutine)


@types.coroutine
def turn() -> Generator[None, None, None]:
    """Let the loop turn once."""
    yield
