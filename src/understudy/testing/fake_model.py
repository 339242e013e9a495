"""`FakeModel`: a model in this process that says what the test wants.

    agent = Agent(FakeModel(["Paris."]))
    assert agent.run("Capital of France?").output == "Paris."

It is a provider like any other (see `Provider`), so everything between the agent and the provider
is the real thing; there is no HTTP, for that there is `ProviderServer`. Usage is estimated, never
measured. One fake may serve any number of agents, threads and runtimes at a time.

Latency and pace are timers of the loop that the model runs on, so a cancelled call ends at once.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import aclosing
from itertools import islice
from typing import Any, Self, cast

import msgspec

from understudy.actors.kernel.sinks import Sink
from understudy.actors.models.provider import TextPiece
from understudy.actors.models.streaming import pour_texts
from understudy.actors.rules.kept import Kept, kept
from understudy.actors.rules.tokens import estimate_tokens
from understudy.messages.chat import (
    AssistantMessage,
    Message,
    Text,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from understudy.messages.errors import ConfigError
from understudy.messages.models import Complete, Completion
from understudy.testing.fake_auto import auto_answer
from understudy.testing.fake_faults import befall
from understudy.testing.provider_server.faults import Fault
from understudy.testing.provider_server.script import ScriptExhaustedError, split

_BURST = 50
"""Tokens between two turns of the loop."""
Tokens = Iterable[str] | AsyncIterable[str]
Said = str | ToolCall | Sequence[ToolCall] | Tokens
Turn = str | ToolCall | Sequence[ToolCall] | BaseException | type[BaseException] | Fault
AnswerFunction = Callable[[tuple[Message, ...]], Said | Fault | Awaitable[Said | Fault]]
_Say = Callable[[Complete], Said | Fault | Awaitable[Said | Fault]]


def call(tool: str, /, **arguments: Any) -> ToolCall:  # Any: JSON values, as the tool takes them
    """A turn in which the model calls a tool; a list of them makes it call several at once."""
    return ToolCall(id="", name=tool, arguments=arguments)


class FakeModel:
    """See the module's docstring.

    Args:
        answers: scripted turns, the n-th for the n-th call: texts, `call(...)` or a list of them,
            exceptions to raise, or faults of `understudy.testing.provider_server`, such as
            `Status(status=429, retry_after=1)`, `Truncate(after=2)`, `Malformed()`: one that breaks
            an answer off breaks the turn behind it, which stays. Or a function of the conversation
            that gives a text, an iterable or async iterable of tokens, calls or a fault, and may be
            async.
        latency: seconds before the first token of each answer.
        tokens_per_second: pace of the answer; a token is a word. None: at once.
        name: of the provider and of the model, in results and errors.

    Attributes:
        requests: every call, in the order they came.
    """

    def __init__(
        self,
        answers: Sequence[Turn] | AnswerFunction,
        *,
        latency: float = 0.0,
        tokens_per_second: float | None = None,
        name: str = "fake",
    ) -> None:
        if isinstance(answers, (str, bytes)):
            msg = f"FakeModel({answers!r}): write a list of turns, such as FakeModel([{answers!r}])"
            raise ConfigError(msg)
        if tokens_per_second is not None and tokens_per_second <= 0:
            msg = f"FakeModel(tokens_per_second={tokens_per_second}): more than 0, or None for none"
            raise ConfigError(msg)
        self.name = name
        self.requests: list[Complete] = []
        self._function: _Say | None = None
        if callable(answers):
            function = answers
            self._function = lambda request: function(request.messages)
        self._turns: deque[Turn] = deque(() if callable(answers) else answers)
        self._size = len(self._turns)
        self._latency = latency
        self._pace = tokens_per_second
        self._ids = itertools.count(1)

    @classmethod
    def echo(
        cls, *, latency: float = 0.0, tokens_per_second: float | None = None, name: str = "fake"
    ) -> Self:
        """A model that repeats the last user message behind `echo: `."""
        return cls(_echo, latency=latency, tokens_per_second=tokens_per_second, name=name)

    @classmethod
    def auto(
        cls, *, latency: float = 0.0, tokens_per_second: float | None = None, name: str = "fake"
    ) -> Self:
        """A model that calls every tool once and then answers: with `output=` by a value of it.

        Arguments and values are made from the schemas, the same every time: what is required, the
        simplest that there is. Without `output=` the answer is JSON of what each tool gave.
        """
        fake = cls([], latency=latency, tokens_per_second=tokens_per_second, name=name)
        fake._function = auto_answer
        return fake

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """See `Provider.complete`; the deadline is the caller's to enforce."""
        del timeout
        said = await self._begin(request)
        if isinstance(said, str) and self._pace is None:  # nothing to wait for: no generators
            return self._completion(request, said, ())
        async with aclosing(self._pieces(request, said)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    return piece
        raise AssertionError("an answer ends with its completion")

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[TextPiece | Completion, None]:
        """See `Provider.stream`: a piece for each token."""
        del timeout
        said = await self._begin(request)
        async with aclosing(self._pieces(request, said)) as pieces:
            async for piece in pieces:
                yield piece

    async def push(
        self, request: Complete, sink: Sink, *, timeout: float | None = None
    ) -> Completion:
        """See `Pusher.push`: every token is a delta."""
        del timeout
        said = await self._begin(request)
        calls = _calls(said)
        if calls:
            return self._completion(request, "", self._numbered(calls))
        text = kept(sink.retain)
        if self._pace is None and not isinstance(said, AsyncIterable):
            await _pour_at_once(cast("str | Iterable[str]", said), text, sink)
        else:
            tokens = self._paced(cast("str | Tokens", said))
            try:
                await _pour_as_it_comes(tokens, text, sink)
            finally:
                if isinstance(tokens, AsyncGenerator):
                    await tokens.aclose()
        return self._completion(request, text.text, (), tokens=text.tokens)

    async def aclose(self) -> None:
        """Nothing to let go of."""

    async def _begin(self, request: Complete) -> Said:
        self.requests.append(request)
        said = await self._say(request)
        if isinstance(said, Fault):
            next_turn = self._turns[0] if self._turns else ""
            text = (
                next_turn if isinstance(next_turn, str) and next_turn else _echo(request.messages)
            )
            said = await befall(said, split(text), self.name)
        if self._latency > 0:
            await asyncio.sleep(self._latency)
        return said

    def _paced(self, said: str | Tokens) -> AsyncIterable[str]:
        if self._pace is None:
            # As it is: a generator around another one costs more than the token.
            return said if isinstance(said, AsyncIterable) else _tokens(said)
        return self._at_pace(said, self._pace)

    async def _at_pace(self, said: str | Tokens, pace: float) -> AsyncGenerator[str, None]:
        time = asyncio.get_running_loop().time
        begin, count = time(), 0
        async for token in _tokens(said):
            await asyncio.sleep(begin + count / pace - time())
            count += 1
            yield token

    async def _pieces(
        self, request: Complete, said: Said
    ) -> AsyncGenerator[TextPiece | Completion, None]:
        calls = _calls(said)
        if calls:
            yield self._completion(request, "", self._numbered(calls))
            return
        text: list[str] = []
        async for token in self._paced(cast("str | Tokens", said)):
            text.append(token)
            yield TextPiece(text=token)
        yield self._completion(request, "".join(text), ())

    async def _say(self, request: Complete) -> Said | Fault:
        if self._function is not None:
            made = self._function(request)
            if isinstance(made, str):
                return made
            said = await made if inspect.isawaitable(made) else made
            _check_said(said)
            return said
        try:
            turn = self._turns.popleft()
        except IndexError:
            asked = request.messages[-1] if request.messages else None
            msg = (
                f"the script of {self.name!r} has {self._size} turns, and this is call "
                f"{len(self.requests)}: {asked!r}; script one more turn"
            )
            raise ScriptExhaustedError(msg) from None
        if isinstance(turn, BaseException):
            raise turn
        if isinstance(turn, type):
            raise turn(f"scripted in {self.name!r}")
        return turn

    def _numbered(self, calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
        """Calls as a provider gives them: each with an id of its own."""
        return tuple(
            each if each.id else msgspec.structs.replace(each, id=f"call-{next(self._ids)}")
            for each in calls
        )

    def _completion(
        self,
        request: Complete,
        text: str,
        calls: tuple[ToolCall, ...],
        *,
        tokens: int | None = None,
    ) -> Completion:
        output = text + "".join(f"{each.name}{each.arguments}" for each in calls)
        return Completion(
            message=AssistantMessage(content=text, tool_calls=calls),
            finish_reason="tool_calls" if calls else "stop",
            usage=Usage(
                input_tokens=sum(estimate_tokens(_text(each)) for each in request.messages),
                output_tokens=estimate_tokens(output) if tokens is None else tokens,
                measured=False,
            ),
            model=request.model,
            provider=self.name,
        )


def _check_said(said: object) -> None:
    if not isinstance(said, str | ToolCall | Iterable | AsyncIterable | Fault):
        msg = f"FakeModel: its function gave a {type(said).__name__}, no text or calls"
        raise ConfigError(msg)


async def _pour_at_once(said: str | Iterable[str], text: Kept, sink: Sink) -> None:
    """All that is there already, a burst at a time; in between others have their turn."""
    tokens = iter(split(said) if isinstance(said, str) else said)
    error: Exception | None = None
    while error is None:
        burst: list[str] = []
        try:
            burst.extend(islice(tokens, _BURST))
        except Exception as raised:  # noqa: BLE001 -- after what came before it
            error = raised
        if not burst:
            break
        if "" in burst:
            burst = [token for token in burst if token]
        text.extend(burst)
        await pour_texts(burst, sink)
        await asyncio.sleep(0)
    if error is not None:
        raise error


async def _pour_as_it_comes(tokens: AsyncIterable[str], text: Kept, sink: Sink) -> None:
    offer, keep = sink.offer, text.add
    async for token in tokens:
        keep(token)
        if token and not offer(token):
            await sink.room()


async def _tokens(said: str | Tokens) -> AsyncGenerator[str, None]:
    """The pieces of an answer; a text is cut into words, spaces kept. Empty ones are left out."""
    if isinstance(said, AsyncIterable):
        async for token in said:
            if token:
                yield token
        return
    for token in split(said) if isinstance(said, str) else said:
        if token:
            yield token


def _calls(said: Said) -> list[ToolCall]:
    if isinstance(said, ToolCall):
        return [said]
    if isinstance(said, str) or not isinstance(said, Sequence) or not said:
        return []
    if isinstance(said[0], str):
        return []  # tokens
    return [each for each in said if isinstance(each, ToolCall)]


def _text(message: Message) -> str:
    if isinstance(message, AssistantMessage):
        calls = "".join(f"{each.name}{each.arguments}" for each in message.tool_calls)
        return message.content + calls
    if isinstance(message, ToolMessage):
        return message.name + message.content
    return _said(message) if isinstance(message, UserMessage) else message.content


def _said(message: UserMessage) -> str:
    """What can be read of a user's message; pictures count as nothing."""
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text for part in message.content if isinstance(part, Text))


def _echo(messages: tuple[Message, ...]) -> str:
    asked = [_said(each) for each in messages if isinstance(each, UserMessage)]
    return f"echo: {asked[-1] if asked else ''}"
