"""The Model actor: one account at one provider.

It serves any number of calls at a time: each runs in the background over the provider, and is
answered when it comes back. A call that nobody waits for any more is cancelled, and with it the
socket. A failing call is the caller's answer, never the actor's failure.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Protocol

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.models.provider import Provider, TextPiece
from understudy.messages.control import Outcome
from understudy.messages.errors import OverloadedError, ResponseError
from understudy.messages.models import Complete, CompleteStream, Completion


class TextSink(Protocol):
    """Where the text of a streamed answer goes."""

    async def write(self, text: str) -> None:
        """Take some text; waits while the reader is behind."""
        ...


class Answered(msgspec.Struct, frozen=True):
    """A call has come back (from the actor to itself)."""

    deferred: Deferred
    outcome: Outcome


class ModelActor(Actor):
    """Calls `provider`; replies with a `Completion`."""

    expects = (OverloadedError,)

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def on_receive(self, message: Complete | CompleteStream | Answered) -> None:
        """Start a call in the background, or answer one that has come back."""
        if isinstance(message, Answered):
            error = message.outcome.error
            if error is None:
                message.deferred.set(message.outcome.value)
            else:
                message.deferred.set_exception(error)
            return
        context, then = self.context, partial(Answered, self.defer())
        left = None if context.deadline is None else context.deadline - context.now()
        if isinstance(message, Complete):
            work = self._provider.complete(message, timeout=left)
        else:
            work = self._stream(message, left)
        self.background(work, then=then)

    async def on_stop(self) -> None:  # type: ignore[override]  # async, as its on_receive
        """Let go of the provider."""
        await self._provider.aclose()

    async def _stream(self, message: CompleteStream, left: float | None) -> Completion:
        sink: TextSink = message.sink
        async with aclosing(self._provider.stream(message.request, timeout=left)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    return piece
                if isinstance(piece, TextPiece):
                    await sink.write(piece.text)
        name = self._provider.name
        msg = f"{name} ended a stream of {message.request.model} without its completion"
        raise ResponseError(msg, provider=name, model=message.request.model)
