"""Text-Only Mode: what it saves depends on what there is besides text."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from claim import Claim, Switches, cpu_seconds, in_turns, judged, main

from understudy import Agent, AssistantMessage, Completion, Runtime
from understudy.actors.models.provider import Piece, TextPiece, ThoughtPiece
from understudy.messages.chat import Usage


class Thinker:
    """A model that thinks `thoughts` pieces for each piece of text that it says."""

    name = "thinker"

    def __init__(self, pieces: int, thoughts: int) -> None:
        self.pieces, self.thoughts = pieces, thoughts

    async def stream(self, request: Any, *, timeout: float | None = None) -> AsyncIterator[Piece]:
        """Text and thoughts, at once."""
        del request, timeout
        for _ in range(self.pieces // (1 + self.thoughts)):
            for _ in range(self.thoughts):
                yield ThoughtPiece(text="hm ")
            yield TextPiece(text="word ")
        yield Completion(
            message=AssistantMessage(content="word"),
            finish_reason="stop",
            usage=Usage(),
            model="thinker",
            provider="here",
        )

    async def complete(self, request: Any, *, timeout: float | None = None) -> Completion:
        """Not used here: this demo only streams."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing to let go of."""


def read(agent: Agent[str], *, text_only: bool) -> int:
    """How many chunks there are."""
    with agent.stream("?", text_only=text_only, flush_interval=0) as stream:
        chunks = sum(1 for _ in stream)
        stream.wait()  # raises what went wrong
    return chunks


def claims(switches: Switches) -> Iterator[Claim]:
    """The same stream with and without the mode, for two mixtures."""
    pieces = switches.size(20_000, 200)
    for thoughts in (0, 1, 3) if not switches.model else (0,):
        agent = Agent(switches.model_or(Thinker(pieces, thoughts)))
        with Runtime():
            ways = {only: partial(read, agent, text_only=only) for only in (False, True)}
            cpu = in_turns(ways, switches.size(7, 1), cpu_seconds)
            before, after = read(agent, text_only=False), read(agent, text_only=True)
        saved = 1 - cpu[True] / cpu[False]
        share = f"text with {thoughts} times as many thoughts" if thoughts else "nothing but text"
        share = "as the model mixes them" if switches.model else share
        yield Claim(
            claimed=f"about 30 % less work ({share})",
            measured=f"{saved:.0%} less CPU: {before:,} chunks become {after:,}",
            verdict=judged(saved >= 0.25),
            how=f"{pieces:,} pieces at once, flush_interval=0, CPU time, best of 7, in turns",
        )


if __name__ == "__main__":
    main("Text-Only Mode", claims)
