"""Crowds at a limit, and a provider that is gone for a minute: in virtual time.

The whole way of a call is the production code: runs are left out, Model actor, permits, limiter,
retries and breaker are not. The provider keeps the token buckets of `ProviderServer` and tells what
is left with each answer, as providers do. A simulation draws its schedule from a seed, so a figure
here is the same on every machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import msgspec

from understudy import Limit, Ref, Runtime, child
from understudy.actors.limiters.limiter import LimiterActor
from understudy.actors.models.model import ModelActor
from understudy.actors.models.provider import Piece
from understudy.messages.chat import AssistantMessage, Usage, UserMessage
from understudy.messages.errors import (
    ConnectError,
    DeadlineExceededError,
    RateLimitError,
    UnderstudyError,
)
from understudy.messages.limits import Headroom
from understudy.messages.models import Complete, Completion
from understudy.testing import SimRuntime
from understudy.testing.provider_server.limits import Buckets, Limits

MINUTE = 60.0
MAX_TOKENS = 200


class Provider:
    """Keeps limits, takes its time, and may be gone for a while.

    Args:
        limits: what the account may use; None: everything.
        up_front: charges for `max_tokens` when a call begins (OpenAI), not for what came of it.
        latency: seconds a call, on average.
        gone: from when to when there is no connection.
        silent: calls to one that is gone are not refused, they hear nothing until their deadline.
    """

    name = "acme"

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        up_front: bool = False,
        latency: float = 1.0,
        gone: tuple[float, float] = (0.0, 0.0),
        silent: bool = False,
    ) -> None:
        self._random = random.Random(7)
        self._begin = asyncio.get_running_loop().time()
        self._buckets = Buckets(limits or Limits(), self._begin)
        self._up_front = up_front
        self._latency = latency
        self._gone = gone
        self._silent = silent
        self.reached: dict[int, Complete] = {}  # held, so that no id is used twice
        self.calls = self.limited = self.failed = self.answered = self.tokens = 0
        self.times: list[float] = []

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self._begin

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """Answer, or refuse."""
        self.calls += 1
        if self._gone[0] <= self.now < self._gone[1]:
            await self._fail(request, timeout)
        draw = self._random
        prompt = len(request.messages[0].content) // 4 + draw.randint(-5, 5)
        output = draw.randint(MAX_TOKENS // 4, MAX_TOKENS)
        charged = request.max_tokens or 0 if self._up_front else 0
        refused = self._buckets.admit(prompt, charged, asyncio.get_running_loop().time())
        if refused is not None:
            self.limited += 1
            raise RateLimitError("slow", status=429, retryable=True, retry_after=refused.wait)
        await asyncio.sleep(draw.uniform(0.5, 1.5) * self._latency)
        if self._gone[0] <= self.now < self._gone[1]:
            await self._fail(request, timeout)
        self._buckets.answered(output, charged=self._up_front)
        self.answered += 1
        self.tokens += prompt + (charged or output)
        self.times.append(self.now)
        return Completion(
            message=AssistantMessage(content="ok"),
            finish_reason="stop",
            usage=Usage(input_tokens=prompt, output_tokens=output),
            model="m",
            provider=self.name,
            headroom=tuple(
                Headroom(
                    dimension=each.name.replace("-", "_"),
                    remaining=each.remaining,
                    reset=each.reset,
                    limit=each.limit,
                )
                for each in self._buckets.readings()
            ),
        )

    async def _fail(self, request: Complete, timeout: float | None) -> None:
        self.failed += 1
        self.reached[id(request)] = request
        if self._silent:
            await asyncio.sleep(timeout or 0.0)
            raise DeadlineExceededError("acme:m: too late")
        raise ConnectError("acme:m: gone", retryable=True)

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[Piece, None]:
        """The same, in one piece."""
        yield await self.complete(request, timeout=timeout)

    async def aclose(self) -> None:
        """Nothing to close."""


async def staged(rt: Runtime, provider: Provider, limit: Limit) -> Ref[Any]:  # Any: ModelActor
    """A model behind a limiter."""
    limiter = await rt.aspawn(
        child(LimiterActor, "acme:*", limit).options(name="limiter", mailbox=_roomy())
    )
    return await rt.aspawn(
        child(ModelActor, provider, lambda _: limiter).options(name="model", mailbox=_roomy())
    )


def _roomy() -> Any:  # Any: MailboxOptions
    from understudy import MailboxOptions

    return MailboxOptions(capacity=20_000)


def asking(size: int) -> Complete:
    """A prompt of so many tokens."""
    prompt = UserMessage(content="word" * (size - 4))
    return Complete(model="m", messages=(prompt,), max_tokens=MAX_TOKENS)


# -- a crowd at the limit --------------------------------------------------------------------------


class Used(msgspec.Struct, frozen=True):
    """What came of a crowd: shares of what it might use, and of calls that were refused."""

    requests: float
    tokens: float
    limited: float


async def _crowd(
    rt: Runtime, *, limits: Limits, up_front: bool, callers: int, minutes: float
) -> Used:
    provider = Provider(limits, up_front=up_front)
    share = 0.95
    limit = Limit(
        requests_per_minute=share * (limits.requests_per_minute or 0.0),
        tokens_per_minute=share * (limits.tokens_per_minute or 0.0),
    )
    model = await staged(rt, provider, limit)
    end = provider.now + minutes * MINUTE
    draw = random.Random(1)

    async def caller() -> None:
        while provider.now < end:
            try:
                await model.request(asking(draw.randint(50, 350)), timeout=120)
            except UnderstudyError:
                await asyncio.sleep(1.0)

    await asyncio.gather(*(caller() for _ in range(callers)))
    took = provider.times[-1] / MINUTE
    return Used(
        requests=provider.answered / took / (limit.requests_per_minute or 1.0),
        tokens=provider.tokens / took / (limit.tokens_per_minute or 1.0),
        limited=provider.limited / provider.calls,
    )


def crowd(*, requests: int, tokens: int, up_front: bool, minutes: float = 5.0) -> Used:
    """200 callers who always want more, at 95 % of what the provider allows a minute."""
    limits = Limits(requests_per_minute=requests, tokens_per_minute=tokens)
    work = partial(_crowd, limits=limits, up_front=up_front, callers=200, minutes=minutes)
    used: Used = SimRuntime(1).run(work)
    return used


# -- fairness --------------------------------------------------------------------------------------


async def _fair(rt: Runtime, *, sessions: int, minutes: float) -> float:
    provider = Provider(latency=0.2)
    limiter = Limit(requests_per_minute=1_200, queue=20_000)
    model = await staged(rt, provider, limiter)
    end = provider.now + minutes * MINUTE
    served = [0] * sessions

    async def caller(session: int) -> None:
        while provider.now < end:
            with rt.scope(session=f"s{session}"):
                reply = _under_scope(model)
            try:
                await reply
            except UnderstudyError:
                await asyncio.sleep(1.0)
                continue
            if provider.now < end:
                served[session] += 1

    # Every second session wants a hundred times as much as the others.
    demand = [1 if session % 2 else 100 for session in range(sessions)]
    await asyncio.gather(
        *(caller(session) for session, width in enumerate(demand) for _ in range(width))
    )
    return sum(served) ** 2 / (sessions * sum(each**2 for each in served))


def _under_scope(model: Ref[Any]) -> Any:  # Any: Reply
    return model.request(asking(50), timeout=300)


def fairness(*, sessions: int = 100, minutes: float = 3.0) -> float:
    """Jain's index over what sessions got, half of which ask for a hundred times as much."""
    index: float = SimRuntime(1).run(partial(_fair, sessions=sessions, minutes=minutes))
    return index


# -- a blackout ------------------------------------------------------------------------------------


class Blackout(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
        late: seconds that the latest caller was answered behind its deadline.
        extra: calls beyond one a request, as a share, while it lasted.
        back: seconds from its end until nine of ten as many succeed as before.
    """

    late: float
    extra: float
    back: float


async def _blackout(rt: Runtime, *, callers: int, timeout: float, silent: bool) -> Blackout:
    gone = (30.0, 90.0)
    provider = Provider(latency=0.5, gone=gone, silent=silent)
    model = await staged(rt, provider, Limit())
    late, end = 0.0, 180.0
    draw = random.Random(3)

    async def caller() -> None:
        nonlocal late
        await asyncio.sleep(draw.uniform(0, 2))
        while provider.now < end:
            begin = provider.now
            with contextlib.suppress(UnderstudyError):
                await model.request(asking(50), timeout=timeout)
            late = max(late, provider.now - begin - timeout)
            await asyncio.sleep(draw.uniform(0.5, 1.5))

    await asyncio.gather(*(caller() for _ in range(callers)))
    before = _rate(provider.times, gone[0] - 10, gone[0])
    back = next(
        (
            second
            for second in range(int(end - gone[1]))
            if _rate(provider.times, gone[1] + second, gone[1] + second + 1) >= 0.9 * before
        ),
        end - gone[1],
    )
    return Blackout(
        late=late, extra=provider.failed / len(provider.reached) - 1.0, back=float(back + 1)
    )


def _rate(times: list[float], begin: float, end: float) -> float:
    return sum(begin <= time < end for time in times) / (end - begin)


def blackout(*, callers: int = 500, timeout: float = 20.0, silent: bool = False) -> Blackout:
    """The provider is gone for a minute, while 500 callers go on asking."""
    work = partial(_blackout, callers=callers, timeout=timeout, silent=silent)
    found: Blackout = SimRuntime(1).run(work)
    return found
