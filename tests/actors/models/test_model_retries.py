"""What the Model actor makes of failures: which are tried again, and when."""

import asyncio

import pytest
from tests.actors.models.model_stage import REQUEST, Stage, answer, down, play

from understudy.messages.errors import (
    BadRequestError,
    BreakerOpenError,
    RateLimitError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.events import BreakerOpened, GateClosed, ModelRetried, PermitWaited
from understudy.messages.models import CompleteStream, Completion


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


def test_a_retry_that_nobody_hears_of_builds_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a subscriber `ModelRetried` is not made."""

    def refuse(**_: object) -> None:
        raise AssertionError("an event for nobody")

    monkeypatch.setattr("understudy.actors.models.model.ModelRetried", refuse)

    async def main(stage: Stage) -> None:
        assert (await stage.model.request(REQUEST)).attempts == 2

    play([down(), answer()], main)
