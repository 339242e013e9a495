"""From a provider's pieces to the sink of a stream.

A provider is read as the async generator that `Provider.stream` is, or, where it has `push`, it
fills the sink itself: for a model in this process the generators between cost more than the tokens.

`Sink.offer` is plain: an await for each token would cost more than the token. It always takes what
it is given; False asks to await `room` before the next, which stops the reading of the socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Protocol, cast

import msgspec

from understudy.actors.kernel.sinks import Sink
from understudy.actors.models.provider import Provider, TextPiece, ThoughtPiece
from understudy.actors.rules.kept import kept
from understudy.messages.chunks import Metadata
from understudy.messages.errors import ResponseError
from understudy.messages.models import Complete, Completion


class Pusher(Protocol):
    """A provider that fills a sink itself."""

    async def push(
        self, request: Complete, sink: Sink, *, timeout: float | None = None
    ) -> Completion:
        """As `Provider.stream`, but text and thoughts go to `sink`; gives the `Completion`."""
        ...


async def stream_into(
    provider: Provider, request: Complete, sink: Sink, timeout: float | None
) -> Completion:
    """Stream an answer into a sink.

    Raises:
        ModelError, DeadlineExceededError: as `Provider.stream`.
        ResponseError: the stream ended without its `Completion`.
        RunCancelledError: the sink was closed.
    """
    push = _push_of(provider)
    if push is not None:
        completion: Completion = await push(request, sink, timeout=timeout)
    else:
        completion = await _pull(provider, request, sink, timeout)
    facts: dict[str, Any] = {  # Any: plain values
        "provider": completion.provider,
        "model": completion.model,
        "finish_reason": completion.finish_reason,
        "request_id": completion.request_id,
    }
    await sink.put(lambda index: Metadata(values=facts, index=index, at=sink.at))
    return completion


async def pour_texts(texts: Sequence[str], sink: Sink) -> None:
    """Give texts to a sink, as many at a time as it has room for."""
    start = 0
    while start < len(texts):
        end = start + sink.credit
        if not sink.offer_all(texts[start:end]):
            await sink.room()
        start = end


def _with_text(completion: Completion, text: str) -> Completion:
    message = msgspec.structs.replace(completion.message, content=text)
    return msgspec.structs.replace(completion, message=message)


def _push_of(provider: Provider) -> Any:  # Any: `Pusher.push`, or None
    """Its `push`, unless a subclass has a `stream` of its own that knows nothing of it."""
    for kind in type(provider).__mro__:
        if "push" in vars(kind):
            return provider.push  # type: ignore[attr-defined]
        if "stream" in vars(kind):
            return None
    return None


async def _pull(
    provider: Provider, request: Complete, sink: Sink, timeout: float | None
) -> Completion:
    offer = sink.offer
    text = None if sink.retain == "full" else kept(sink.retain)
    async with aclosing(provider.stream(request, timeout=timeout)) as pieces:
        async for piece in pieces:
            if type(piece) is TextPiece:
                if text is not None:
                    text.add(piece.text)
                if not offer(piece.text):
                    await sink.room()
            elif isinstance(piece, Completion):
                return piece if text is None else _with_text(piece, text.text)
            elif not isinstance(cast("object", piece), TextPiece | ThoughtPiece):
                what = f"a {type(piece).__name__} in a stream, no piece of text and no Completion"
                raise ResponseError(
                    f"{provider.name} gave {what}", provider=provider.name, model=request.model
                )
            elif not sink.text_only and not sink.think(piece.text):
                await sink.room()
    name = provider.name
    msg = f"{name} ended a stream of {request.model} without its completion"
    raise ResponseError(msg, provider=name, model=request.model)
