"""A model in this process that costs next to nothing: what is measured then is everything else."""

from __future__ import annotations

import asyncio

from understudy.messages.chat import AssistantMessage, Usage
from understudy.messages.models import Complete, Completion
from understudy.testing.fake_model import FakeModel

NAME = "in-process"


class InProcessModel(FakeModel):
    """Answers `ok` after `delay` seconds, and, unlike its kind, keeps no record of its requests."""

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__([], name=NAME)
        self._delay = delay

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """The same answer to everybody."""
        del timeout
        if self._delay > 0:
            await asyncio.sleep(self._delay)
        return Completion(
            message=AssistantMessage(content="ok"),
            finish_reason="stop",
            usage=Usage(input_tokens=1, output_tokens=1, measured=False),
            model=request.model,
            provider=NAME,
        )
