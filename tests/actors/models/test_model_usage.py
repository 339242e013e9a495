"""What the Model actor tells of its attempts: usage, permits, headers, whose turn it is."""

import asyncio

import pytest
from tests.actors.models.model_stage import REQUEST, USED, Scripted, Stage, answer, down, play

from understudy import Agent, Limit, Runtime
from understudy.messages.chat import Usage
from understudy.messages.errors import (
    BadRequestError,
    ConnectError,
    DeadlineExceededError,
    ModelError,
    ServerError,
    StreamBrokenError,
    from_wire,
    to_wire,
)
from understudy.messages.events import PermitWaited
from understudy.messages.limits import Acquire, Headroom
from understudy.messages.models import Complete, Completion
from understudy.testing import SimRuntime


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
