from collections.abc import AsyncGenerator

import pytest

from understudy import (
    Agent,
    AssistantMessage,
    Metadata,
    Runtime,
    ThoughtDelta,
    Usage,
)
from understudy.actors.models.provider import Piece, TextPiece, ThoughtPiece
from understudy.messages.models import Complete, Completion
from understudy.testing import assert_quiet

pytestmark = pytest.mark.anyio


class Thinking:
    """A provider that thinks aloud, and is read through its generator."""

    name = "thinking"

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """The whole answer."""
        return Completion(
            message=AssistantMessage(content="x" * 100_000),
            finish_reason="stop",
            usage=Usage(input_tokens=1, output_tokens=1),
            model="thinking-1",
            provider=self.name,
            request_id="r-1",
        )

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Thoughts, text, and the completion."""
        yield ThoughtPiece(text="let me see")
        for _ in range(1000):
            yield TextPiece(text="x" * 100)
        yield await self.complete(request)

    async def aclose(self) -> None:
        """Nothing to let go of."""


@pytest.mark.parametrize("text_only", [False, True])
async def test_thoughts_and_facts_are_chunks_of_their_own(*, text_only: bool) -> None:
    """They are no part of the text, and are not made for who wants text alone."""
    async with Runtime() as rt:
        async with rt.stream(Agent(Thinking()), "?", text_only=text_only) as stream:
            chunks = [chunk async for chunk in stream]
        thoughts = [chunk.thought for chunk in chunks if isinstance(chunk, ThoughtDelta)]
        facts = [chunk.values for chunk in chunks if isinstance(chunk, Metadata)]
        assert "".join(chunk.delta for chunk in chunks) == "x" * 100_000
        if text_only:
            assert (thoughts, facts) == ([], [])
            return
        assert thoughts == ["let me see"]
        assert facts == [
            {
                "provider": "thinking",
                "model": "thinking-1",
                "finish_reason": "stop",
                "request_id": "r-1",
            }
        ]
    assert_quiet(rt)


async def test_a_provider_that_keeps_all_is_cut_to_what_is_retained() -> None:
    """The result holds as much as was asked for, whoever gathered it."""
    async with Runtime() as rt:
        async with rt.stream(Agent(Thinking()), "?", retain="tail") as stream:
            result = await stream
        assert result.text.startswith("[34464 characters before this were not kept]\nxxx")
        assert len(result.messages[-1].content) == len(result.text) < 66_000
    assert_quiet(rt)
