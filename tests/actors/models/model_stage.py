"""A Model actor, its limiter and a provider that follows a script, in virtual time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest

from understudy import Limit, Ref, Runtime, child
from understudy.actors.limiters.limiter import LimiterActor
from understudy.actors.models.model import ModelActor
from understudy.actors.models.provider import Piece, TextPiece
from understudy.messages.chat import AssistantMessage, Usage, UserMessage
from understudy.messages.errors import DeadlineExceededError, ServerError
from understudy.messages.events import Event
from understudy.messages.limits import AskStats, LimiterStats
from understudy.messages.models import Complete, Completion
from understudy.testing import SimRuntime

REQUEST = Complete(model="m", messages=(UserMessage(content="x" * 384),))  # 100 tokens, estimated
USED = Usage(input_tokens=90, output_tokens=10)


def answer(text: str = "ok", **facts: Any) -> Completion:
    """A completion that used 100 tokens."""
    return Completion(
        message=AssistantMessage(content=text),
        finish_reason="stop",
        usage=USED,
        model="m",
        provider="acme",
        **facts,
    )


class Scripted:
    """A provider that does what a script says, one entry a call.

    An entry is a completion, an error, or seconds to work on it.
    """

    name = "acme"

    def __init__(self, script: Sequence[Completion | BaseException | float]) -> None:
        self._script = list(script)
        self.calls = 0

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        del request
        step = self._script[min(self.calls, len(self._script) - 1)]
        self.calls += 1
        if isinstance(step, float):
            try:
                async with asyncio.timeout(timeout):
                    await asyncio.sleep(step)
            except TimeoutError as error:
                raise DeadlineExceededError("acme:m: too late") from error
            return answer()
        if isinstance(step, BaseException):
            raise step
        return step

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[Piece, None]:
        yield TextPiece(text="half")
        yield await self.complete(request, timeout=timeout)

    async def aclose(self) -> None:
        pass


class Stage:
    """A model, its limiter and what was published."""

    def __init__(self, provider: Scripted, limiter: Ref[Any], model: Ref[Any]) -> None:
        self.provider = provider
        self.limiter = limiter
        self.model = model
        self.events: list[Event] = []

    async def stats(self) -> LimiterStats:
        """The limiter's."""
        await asyncio.sleep(0.001)
        stats: LimiterStats = await self.limiter.request(AskStats())
        return stats

    async def fails(self, request: Any = REQUEST, **options: Any) -> Any:
        """The error of a call that must fail."""
        with pytest.raises(Exception) as caught:  # noqa: PT011 - looked at by who asks
            await self.model.request(request, **options)
        return caught.value


def play(
    script: Sequence[Completion | BaseException | float],
    main: Callable[[Stage], Any],
    limit: Limit | None = None,
    hears: tuple[type[Event], ...] = (),
) -> Any:
    """Run `main(stage)` in virtual time."""

    async def staged(rt: Runtime) -> Any:
        provider = Scripted(script)
        limiter = await rt.aspawn(child(LimiterActor, "acme:*", limit or Limit()), name="limiter")
        model = await rt.aspawn(child(ModelActor, provider, lambda _: limiter), name="model")
        stage = Stage(provider, limiter, model)
        for kind in hears:
            rt.events.subscribe(kind, stage.events.append)
        found = await main(stage)
        await asyncio.sleep(0.1)
        return found

    return SimRuntime(3).run(staged)


def down(**facts: Any) -> ServerError:
    """A 503."""
    return ServerError("down", status=503, retryable=True, **facts)
