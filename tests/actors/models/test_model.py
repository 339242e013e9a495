"""What the Model actor makes of failures: attempts, events, usage, permits."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest

from understudy import Agent, Limit, Ref, Runtime, child
from understudy.actors.limiters.limiter import LimiterActor
from understudy.actors.models.model import ModelActor
from understudy.actors.models.provider import Piece, TextPiece
from understudy.messages.chat import AssistantMessage, Usage, UserMessage
from understudy.messages.errors import (
    BadRequestError,
    BreakerOpenError,
    ConnectError,
    DeadlineExceededError,
    ModelError,
    RateLimitError,
    ServerError,
    StreamBrokenError,
    from_wire,
    to_wire,
)
from understudy.messages.events import (
    BreakerOpened,
    Event,
    GateClosed,
    ModelRetried,
    PermitWaited,
)
from understudy.messages.limits import Acquire, AskStats, Headroom, LimiterStats
from understudy.messages.models import Complete, CompleteStream, Completion
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


def test_what_may_help_is_tried_three_times() -> None:
    """The third answer counts, says how often it was tried, and each retry is an event."""

    async def main(stage: Stage) -> None:
        found: Completion = await stage.model.request(REQUEST)
        await asyncio.sleep(0.1)
        assert (found.attempts, stage.provider.calls) == (3, 3)
        assert [e.attempt for e in stage.events if isinstance(e, ModelRetried)] == [2, 3]
        first = stage.events[0]
        assert isinstance(first, ModelRetried)
        assert (first.provider, first.model, first.error.type) == ("acme", "m", "ServerError")
        assert 0 <= first.delay <= 0.5

    play([down(), down(), answer()], main, hears=(ModelRetried,))


def test_an_error_that_leaves_is_final() -> None:
    """It says how often its owner tried, and that nobody else needs to."""

    async def main(stage: Stage) -> None:
        error = await stage.fails()
        assert (type(error), error.attempts, error.retryable) == (ServerError, 3, False)

    play([down()], main)


def test_a_mistake_is_not_tried_again() -> None:
    """Nor is it counted against the provider."""

    async def main(stage: Stage) -> None:
        for _ in range(30):
            error = await stage.fails()
            assert (type(error), error.attempts) == (BadRequestError, 1)
        assert (await stage.stats()).breaker == "closed"

    play([BadRequestError("no", status=400)], main)


def test_no_retry_after_the_deadline() -> None:
    """A server that asks to wait longer than there is time is not waited for."""

    async def main(stage: Stage) -> None:
        begin = asyncio.get_running_loop().time()
        error = await stage.fails(timeout=5)
        assert (type(error), error.attempts) == (RateLimitError, 1)
        assert asyncio.get_running_loop().time() - begin < 0.1
        stats = await stage.stats()
        assert stats.limited == 1
        assert 9 <= stats.closed_for <= 11

    limited = RateLimitError("slow", status=429, retryable=True, retry_after=10.0)
    play([limited], main)


def test_a_429_that_will_pass_is_waited_for() -> None:
    """The gate closes for everybody, who says so, and the call is made again behind it."""

    async def main(stage: Stage) -> None:
        both = await asyncio.gather(stage.model.request(REQUEST), _later(stage))
        assert [found.attempts for found in both] == [2, 1]
        kinds = {type(event) for event in stage.events}
        assert kinds == {GateClosed, ModelRetried, PermitWaited}

    async def _later(stage: Stage) -> Completion:
        await asyncio.sleep(0.5)
        found: Completion = await stage.model.request(REQUEST)
        return found

    limited = RateLimitError("slow", status=429, retryable=True, retry_after=2.0)
    play([limited, answer()], main, hears=(GateClosed, ModelRetried, PermitWaited))


def test_a_spend_cap_is_final() -> None:
    """No retry, and the gate stays open: time does not help, and the next caller hears it too."""

    async def main(stage: Stage) -> None:
        for _ in range(2):
            error = await stage.fails()
            assert (type(error), error.attempts) == (RateLimitError, 1)
        assert (await stage.stats()).closed_for == 0.0

    play([RateLimitError("quota", status=429, retry_after=60.0, spent=True)], main)


def test_a_long_wait_is_told_and_kept() -> None:
    """Nobody retries into ten minutes; the gate is closed as long all the same."""

    async def main(stage: Stage) -> None:
        error = await stage.fails()
        assert (error.attempts, error.retry_after) == (1, 600.0)
        again = await stage.fails(timeout=30)
        assert "the deadline 30.0 s" in again.message
        assert (again.provider, again.model) == ("acme", "m"), "who was not even called"
        assert stage.provider.calls == 1

    play([RateLimitError("later", status=429, retry_after=600.0)], main)


def test_an_outage_opens_the_breaker() -> None:
    """Whom it refuses has called nobody."""

    async def main(stage: Stage) -> None:
        outcomes = await asyncio.gather(*(stage.fails() for _ in range(200)))
        refused = sum(isinstance(error, BreakerOpenError) for error in outcomes)
        assert refused
        assert 200 <= stage.provider.calls + refused <= 230
        assert any(isinstance(event, BreakerOpened) for event in stage.events)

    play([down()], main, hears=(BreakerOpened,))


def test_the_usage_of_every_attempt_is_told() -> None:
    """`usage` is that of the answer, `spent` the sum; it is an estimate where nobody said."""

    async def main(stage: Stage) -> None:
        found: Completion = await stage.model.request(REQUEST)
        assert found.usage == USED
        assert found.wasted == Usage(input_tokens=50, output_tokens=7)
        assert found.spent == Usage(input_tokens=140, output_tokens=17)

    broken = StreamBrokenError("cut", retryable=True, usage=Usage(input_tokens=50, output_tokens=7))
    play([broken, down(), answer()], main)


def test_what_nobody_said_is_estimated() -> None:
    """The prompt, and what had come; and it is marked."""

    async def main(stage: Stage) -> None:
        found: Completion = await stage.model.request(REQUEST)
        assert found.wasted == Usage(input_tokens=100, output_tokens=3, measured=False)
        assert not found.spent.measured

    broken = StreamBrokenError("cut", retryable=True, partial="twelve chars")
    play([broken, ConnectError("no", retryable=True), answer()], main)


def test_an_error_tells_what_all_attempts_used() -> None:
    """Also off the wire."""

    async def main(stage: Stage) -> None:
        error = await stage.fails()
        assert error.usage == Usage(input_tokens=150, output_tokens=21)
        assert from_wire(to_wire(error)).usage == error.usage

    used = Usage(input_tokens=50, output_tokens=7)
    play([ServerError("x", retryable=True, usage=used) for _ in range(3)], main)


def test_a_deadline_tells_what_was_used() -> None:
    """The prompt was worked on when time ran out."""

    async def main(stage: Stage) -> None:
        error = await stage.fails(timeout=5.0)
        assert isinstance(error, DeadlineExceededError)
        stats = await stage.stats()
        assert (stats.in_flight, stats.waiting) == (0, 0)

    play([60.0], main)


class Sink:
    """Takes text."""

    retain = "full"

    def __init__(self) -> None:
        self.text = ""

    def offer(self, text: str) -> bool:
        """Take it; there is always room."""
        self.text += text
        return True


def test_a_stream_that_broke_is_not_begun_again() -> None:
    """When text was delivered the provider says that it is not retryable."""

    async def main(stage: Stage) -> None:
        sink = Sink()
        error = await stage.fails(CompleteStream(request=REQUEST, sink=sink))
        assert (sink.text, stage.provider.calls, error.attempts) == ("half", 1, 1)

    play([StreamBrokenError("cut", partial="half"), answer()], main)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (BadRequestError("no", status=400), 0.0),
        (ConnectError("no"), 0.0),
        (StreamBrokenError("cut", usage=Usage(input_tokens=600, output_tokens=0)), 10.0),
        (ServerError("silence"), 100 / 60),
    ],
)
def test_limiters_hear_what_a_failed_call_used(error: ModelError, seconds: float) -> None:
    """What was refused cost nothing, what broke cost what the provider says, else the prompt."""

    async def main(stage: Stage) -> float:
        await stage.fails(with_max(REQUEST, 3_500))
        await stage.stats()
        permit = await stage.limiter.request(Acquire(ticket="next", input_tokens=60), timeout=500)
        return float(permit.waited)

    assert play([error], main, Limit(tokens_per_minute=3_600)) == pytest.approx(seconds, abs=0.05)


def with_max(request: Complete, tokens: int) -> Complete:
    """The request with a bound on its output."""
    return Complete(model=request.model, messages=request.messages, max_tokens=tokens)


def test_headers_of_answers_reach_the_limiter() -> None:
    """What an answer says is left is kept by the next call."""
    nothing = Headroom(dimension="requests", remaining=0, reset=60.0, limit=60.0)

    async def main(stage: Stage) -> None:
        await stage.model.request(REQUEST)
        await stage.model.request(REQUEST)
        await asyncio.sleep(0.1)
        (waited,) = stage.events
        assert isinstance(waited, PermitWaited)
        assert waited.seconds == pytest.approx(1.0)

    play([answer(headroom=(nothing,))], main, hears=(PermitWaited,))


def test_a_retry_that_nobody_hears_of_builds_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a subscriber `ModelRetried` is not made."""

    def refuse(**_: object) -> None:
        raise AssertionError("an event for nobody")

    monkeypatch.setattr("understudy.actors.models.model.ModelRetried", refuse)

    async def main(stage: Stage) -> None:
        assert (await stage.model.request(REQUEST)).attempts == 2

    play([down(), answer()], main)


def test_callers_take_turns_by_tenant_session_and_trace() -> None:
    """What a run is for reaches the limiter: by option, by scope, and else by its trace."""

    async def main(rt: Runtime) -> list[tuple[str, str]]:
        heard: list[PermitWaited] = []
        rt.events.subscribe(PermitWaited, heard.append)
        agent = Agent(Scripted([answer()]))
        await rt.arun(agent, "1")
        runs = [rt.submit(agent, "2", tenant="acme", session="alice")]
        with rt.scope(tenant="acme"):
            runs.append(rt.submit(agent, "3"))
            with rt.scope(session="bob"):
                runs.append(rt.submit(agent, "4"))
        for run in runs:
            await run
        await asyncio.sleep(0.1)
        traces = {run.trace_id: "trace" for run in runs}
        return sorted((e.tenant, traces.get(e.session, e.session)) for e in heard)

    limits = {"acme:*": Limit(requests_per_minute=60)}
    assert SimRuntime(1, limits=limits).run(main) == [
        ("acme", "alice"),
        ("acme", "bob"),
        ("acme", "trace"),
    ]
