"""Providers of somebody else's that do not keep to what they promise."""

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest
from tests.actors.models.model_stage import REQUEST, answer, down

from understudy import Limit, Runtime, child
from understudy.actors.limiters.limiter import LimiterActor
from understudy.actors.models.model import ModelActor
from understudy.messages.errors import OverloadedError, ResponseError
from understudy.messages.limits import AskStats, LimiterStats
from understudy.messages.models import Complete, Completion, Embed, Embeddings
from understudy.testing import SimRuntime


class Wrong:
    """It answers with what is no answer."""

    name = "acme"

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Any:
        del request, timeout
        return {"text": "ok"}

    async def embed(self, request: Embed, *, timeout: float | None = None) -> Any:
        del request, timeout
        return [0.1, 0.2]

    async def aclose(self) -> None:
        """There is nothing to let go of."""


@pytest.mark.parametrize("limit", [Limit(), Limit(max_concurrent=1)])
@pytest.mark.parametrize(
    ("request_", "wanted"),
    [(REQUEST, Completion), (Embed(model="m", texts=("a",)), Embeddings)],
)
def test_a_wrong_answer_is_an_error_and_gives_its_permit_back(
    limit: Limit, request_: Complete | Embed, wanted: type
) -> None:
    """It says what came and what should have come; the next call finds the limiter free."""

    async def main(rt: Runtime) -> LimiterStats:
        limiter = await rt.aspawn(child(LimiterActor, "acme", limit), name="limiter")
        model = await rt.aspawn(child(ModelActor, Wrong(), lambda _: limiter), name="model")
        for _ in range(2):
            with pytest.raises(ResponseError, match=f"acme gave a .*, no {wanted.__name__}"):
                await model.request(request_, timeout=5)
        await asyncio.sleep(1)
        stats: LimiterStats = await limiter.request(AskStats())
        return stats

    assert SimRuntime(1).run(main).in_flight == 0


class Unmeasured(Wrong):
    """It has forgotten to say what was used, even that nobody knows."""

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Any:
        del request, timeout
        return msgspec.structs.replace(answer(), usage=None)


def test_an_answer_that_cannot_be_reckoned_gives_its_permit_back() -> None:
    """The call fails, and the next one finds a free place."""

    async def main(rt: Runtime) -> LimiterStats:
        limiter = await rt.aspawn(child(LimiterActor, "acme", Limit(max_concurrent=1)))
        model = await rt.aspawn(child(ModelActor, Unmeasured(), lambda _: limiter))
        for _ in range(2):
            with pytest.raises(AttributeError):
                await model.request(REQUEST, timeout=5)
        await asyncio.sleep(1)
        stats: LimiterStats = await limiter.request(AskStats())
        return stats

    assert SimRuntime(1).run(main).in_flight == 0


class Stubborn:
    """It fails once, and then does not end when it is cancelled."""

    name = "acme"

    def __init__(self) -> None:
        self.calls = 0

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        del request, timeout
        self.calls += 1
        if self.calls == 1:
            raise down()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(100)
        await asyncio.sleep(100)
        return answer()

    async def aclose(self) -> None:
        """There is nothing to let go of."""


class Two(ModelActor):
    """It has two calls under way at most."""

    max_outstanding = 2


def test_a_retry_that_finds_no_place_is_answered() -> None:
    """Cancelled calls that do not end hold all places when its time comes: it is told at once."""

    async def main(rt: Runtime) -> float:
        model = await rt.aspawn(child(Two, Stubborn()), name="model")
        begun = asyncio.get_running_loop().time()
        waits = model.request(REQUEST, timeout=30)
        for _ in range(2):
            await asyncio.sleep(0)
            call = model.request(REQUEST, timeout=30)
            await asyncio.sleep(0.0001)
            call.cancel()
            await asyncio.sleep(0.0001)
        with pytest.raises(OverloadedError, match="max_outstanding"):
            await waits
        return asyncio.get_running_loop().time() - begun

    assert SimRuntime(1).run(main) < 5
