"""The envelope in hand.

One `ContextVar` holds the envelope that the current handler works on. Whatever is sent meanwhile
inherits deadline, scope and origin from it, also from tasks that the handler starts (asyncio
copies the context); raw threads need `bind`. A ContextVar and not a thread local, because many
handlers share the loop's thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import ParamSpec, TypeVar

from understudy.messages.envelope import Envelope

P = ParamSpec("P")
R = TypeVar("R")

in_hand: ContextVar[Envelope | None] = ContextVar("understudy.envelope", default=None)
"""The envelope of the message being handled here; None outside of handlers."""


def bind(fn: Callable[P, R]) -> Callable[P, R]:
    """Wrap `fn` so that a thread which calls it works in the context of the current message."""
    context = copy_context()

    @functools.wraps(fn)
    def bound(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(fn, *args, **kwargs)

    return bound
