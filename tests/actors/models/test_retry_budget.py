"""Retries of a model that is down: few, however many ask."""

import asyncio

from understudy import Runtime, ServerError, child
from understudy.actors.models.model import ModelActor
from understudy.messages.chat import UserMessage
from understudy.messages.models import Complete, Completion
from understudy.testing import FakeModel, SimRuntime

REQUEST = Complete(model="m", messages=(UserMessage(content="?"),))


class Down(FakeModel):
    """Always fails, and says that trying again may help."""

    def __init__(self) -> None:
        super().__init__([])
        self.calls = 0

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """Fail."""
        del request, timeout
        self.calls += 1
        raise ServerError("down", status=503, retryable=True)


def test_retries_have_a_budget() -> None:
    """In an outage there are ten retries and then none, not two for every call."""

    async def main(rt: Runtime) -> None:
        provider = Down()
        model = await rt.aspawn(child(ModelActor, provider), name="model")  # and no breaker
        asked = (model.request(REQUEST) for _ in range(100))
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(error) for error in outcomes} == {ServerError}
        assert provider.calls == 110

    SimRuntime(3).run(main)
