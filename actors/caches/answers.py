"""The answers of models, cached: what agents ask through.

The key is a hash over everything that shapes an answer: tenant, provider, account and address,
model, conversation, tools, sampling, output, extra fields. An answer that was cut off, filtered or
empty is never kept; an error is none. What is kept is bytes, with the pieces that it was streamed
in, so that a hit can be streamed again as it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

import msgspec

from understudy.actors.caches.entries import size_of
from understudy.actors.caches.flights import is_gone
from understudy.actors.caches.question import Wording
from understudy.actors.caches.tee import Piece, Tee, replay
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.sinks import Sink
from understudy.messages.caches import Cached, CacheSpec, Hit, Lookup, Made
from understudy.messages.chat import ToolMessage, Usage, UserMessage
from understudy.messages.chunks import Metadata
from understudy.messages.codec import encode
from understudy.messages.errors import CodecError, UnderstudyError
from understudy.messages.models import Complete, Completion

FORMAT = 1
"""Changes when what is kept, or what shapes an answer, is written otherwise."""
LARGEST = 64 * 1024 * 1024
"""Bytes of a conversation that is cached."""

Begin = Callable[[Sink | None], Reply[Any]]  # Any: a Completion
"""Asks the model, streamed into a sink where there is one."""


class Served(Protocol):
    """Who answers."""

    @property
    def provider(self) -> str:
        """The name before the colon."""

    @property
    def account(self) -> str:
        """Tells apart accounts and addresses at one provider."""

    @property
    def durable(self) -> bool:
        """Whether that means the same in another process."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An answer as it is kept; its text is in the pieces where they are all of it."""

    completion: Completion
    pieces: tuple[Piece, ...] = ()


class Answer(NamedTuple):
    """An answer that was kept."""

    completion: Completion
    pieces: tuple[Piece, ...]


class AnswerQuestion:
    """See `Question`; one for each call.

    Args:
        request: what is asked.
        begin: asks it.
        sink: where the answer is streamed to.
    """

    __slots__ = (
        "_begin",
        "_request",
        "_settled",
        "_sink",
        "_tags",
        "leads",
        "persistent",
        "reads",
        "reply",
        "tee",
        "tenant",
        "ttl",
        "wording",
    )

    def __init__(
        self,
        request: Complete,
        begin: Begin,
        sink: Sink | None,
        *,
        ttl: float,
        tenant: str,
        tags: tuple[str, ...] = (),
    ) -> None:
        self._request = request
        self._begin = begin
        self._sink = sink
        self._settled: asyncio.Future[None] | None = None
        self.ttl = ttl
        self.tenant = tenant
        self.wording: Wording | None = None
        self.persistent = False
        self.reads = self.leads = False
        self.tee: Tee | None = None
        self.reply: Reply[Any] | None = None  # Any: a Hit or Made
        self._tags = tags

    @property
    def tags(self) -> tuple[str, ...]:
        """See `Question.tags`: the cache's own, and the tools that the answer rests on."""
        messages = self._request.messages
        tools = (f"tool:{each.name}" for each in messages if isinstance(each, ToolMessage))
        return tuple(dict.fromkeys((*self._tags, *tools)))

    def begin(self, tee: Tee) -> Reply[Any]:  # Any: a Completion
        """See `Question.begin`."""
        self.leads = True
        tee.wake()
        return self._begin(None if self._sink is None else tee.own(self._sink))

    def follow(self, tee: Tee) -> None:
        """See `Question.follow`."""
        self.tee = tee
        self.settle()

    def keeps(self, value: Completion) -> bool:
        """See `Question.keeps`: whole answers that say something."""
        message = value.message
        said = bool(message.content.strip() or message.tool_calls)
        return said and value.finish_reason in ("stop", "tool_calls")

    def freeze(self, value: Completion, tee: Tee | None) -> tuple[bytes, int]:
        """See `Question.freeze`."""
        pieces: tuple[Piece, ...] = ()
        message = value.message
        if tee is not None and tee.whole:
            pieces = tee.pieces
            if "".join(text for thought, text in pieces if not thought) == message.content:
                message = msgspec.structs.replace(message, content="")
            else:
                pieces = ()
        completion = msgspec.structs.replace(
            value, message=message, headroom=(), attempts=0, wasted=None
        )
        kept = _encoder.encode(Kept(completion=completion, pieces=pieces))
        return kept, size_of(kept)

    def thaw(self, kept: bytes) -> Answer:
        """See `Question.thaw`."""
        found = _decoder.decode(kept)
        completion, pieces = found.completion, found.pieces
        if pieces:
            text = "".join(text for thought, text in pieces if not thought)
            message = msgspec.structs.replace(completion.message, content=text)
            completion = msgspec.structs.replace(completion, message=message)
        return Answer(completion, pieces)

    def usage_of(self, value: Completion) -> Usage | None:
        """See `Question.usage_of`."""
        return value.usage

    # -- reading along -----------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """See `tee.Reader`."""
        reply = self.reply
        failed = reply is not None and reply.done and reply.outcome().error is not None
        return self.leads or failed

    def settle(self) -> None:
        """Whether it reads along is known."""
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    async def read_along(self, reply: Reply[Any], sink: Sink) -> None:  # Any: a Hit or Made
        """Until the answer is there: read what another caller's call streams."""
        loop = asyncio.get_running_loop()
        self.reply, self._settled = reply, loop.create_future()
        if self.tee is not None:
            self.settle()

        def answered(_: Reply[Any]) -> None:  # Any: a Hit or Made
            loop.call_soon_threadsafe(self.settle)

        reply.add_done_callback(answered)
        await self._settled
        if self.tee is not None:
            await self.tee.pour(sink, self)


class Answers:
    """One cache, as agents use it. On the loop's thread.

    Args:
        ref: of its actor.
        spec: for how long, and whether other wordings may be the same.
        at_zero: only calls at temperature 0 are covered.
    """

    def __init__(self, ref: Ref[Any], spec: CacheSpec, *, at_zero: bool) -> None:
        self._ref = ref
        self._spec = spec
        self._at_zero = at_zero

    @property
    def is_alive(self) -> bool:
        """Whether there is somebody to ask."""
        return self._ref.is_alive()

    def covers(self, request: Complete, sink: Sink | None) -> bool:
        """Whether a call goes through the cache; one of which little is kept does not."""
        if self._at_zero and request.temperature != 0:
            return False
        return sink is None or sink.retain == "full"

    async def ask(
        self,
        request: Complete,
        served: Served,
        begin: Begin,
        *,
        sink: Sink | None,
        seconds: float | None,
        tenant: str,
    ) -> tuple[Completion, Cached | None]:
        """The answer, and where it was found; None: it was made for this caller.

        Raises:
            DeadlineExceededError: not within `seconds`.
            Exception: what the call failed with.
        """
        try:
            key = key_of(request, served, tenant)
        except CodecError:  # fields of the provider's own that do not encode
            return await begin(sink), None
        spec = self._spec
        question = AnswerQuestion(request, begin, sink, ttl=spec.ttl, tenant=tenant, tags=spec.tags)
        question.persistent = served.durable
        if spec.semantic is not None:
            question.wording = wording_of(request, served, tenant)
        try:
            answer = await self._look_up(key, question, sink, seconds)
        except UnderstudyError as error:
            said = sink is not None and (question.reads or question.leads)
            if said or not is_gone(error, self._ref.path):
                raise
            answer = None
        if isinstance(answer, Made):
            return answer.value, None
        if not isinstance(answer, Hit):
            return await begin(sink), None
        value: Answer | Completion = answer.value
        completion = value.completion if isinstance(value, Answer) else value
        if sink is not None:
            await _say(value, completion, sink, answer.cached, said=question.reads)
        return completion, answer.cached

    async def _look_up(
        self, key: bytes, question: AnswerQuestion, sink: Sink | None, seconds: float | None
    ) -> Any:  # Any: a Hit, Made or Miss
        reply = self._ref.request(Lookup(key=key, question=question), timeout=seconds)
        if sink is not None:
            try:
                await question.read_along(reply, sink)
            except BaseException:
                reply.cancel()
                raise
        return await reply


async def _say(
    value: Answer | Completion, completion: Completion, sink: Sink, cached: Cached, *, said: bool
) -> None:
    """Stream an answer that is there, unless it was read along."""
    if not said:
        pieces = value.pieces if isinstance(value, Answer) else ()
        thoughts = [(True, each.text) for each in completion.message.thoughts if each.text]
        whole = [*thoughts, (False, completion.message.content)]
        await replay(pieces or [piece for piece in whole if piece[1]], sink)
    facts: dict[str, Any] = {  # Any: plain values
        "provider": completion.provider,
        "model": completion.model,
        "finish_reason": completion.finish_reason,
        "request_id": completion.request_id,
        "cached": cached.layer,
    }
    await sink.put(lambda index: Metadata(values=facts, index=index, at=sink.at))


def key_of(request: Complete, served: Served, tenant: str) -> bytes:
    """The hash of everything that shapes the answer.

    Raises:
        CodecError: something in it does not encode.
    """
    said = (FORMAT, tenant, served.provider, served.account, request)
    return blake2b(encode(said, canonical=True, max_size=LARGEST), digest_size=32).digest()


def wording_of(request: Complete, served: Served, tenant: str) -> Wording | None:
    """What the last message says, apart from everything else; None where it is no text."""
    last = request.messages[-1] if request.messages else None
    if not isinstance(last, UserMessage) or not isinstance(last.content, str):
        return None
    rest = msgspec.structs.replace(request, messages=request.messages[:-1])
    return Wording(key_of(rest, served, f"{tenant}\x00wording"), last.content)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Kept)
