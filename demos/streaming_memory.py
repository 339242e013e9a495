"""Streaming vs Buffering: what a long answer costs in memory."""

from collections.abc import Iterator

from claim import Claim, Switches, judged, main, peak_mib

from understudy import Agent, Runtime
from understudy.testing import FakeModel


def claims(switches: Switches) -> Iterator[Claim]:
    """The same long answer: whole, streamed, and streamed without keeping it."""
    size = switches.size(32 * 2**20, 2**16)
    word = "some text that is said " * 10
    model = FakeModel(lambda _: (word for _ in range(size // len(word))))
    agent = Agent(switches.model_or(model))

    def whole() -> None:
        agent.run("Tell a long story")

    def streamed() -> None:
        with agent.stream("Tell a long story") as stream:
            for chunk in stream:
                _ = chunk.delta  # processed and discarded
            stream.wait()

    def discarded() -> None:
        with agent.stream("Tell a long story", retain="none") as stream:
            for chunk in stream:
                _ = chunk.delta
            stream.wait()

    with Runtime():
        agent.run("Tell a story")  # what is imported and made once is not counted
        peaks = {work: peak_mib(work) for work in (whole, streamed, discarded)}
    how = f"an answer of {size / 2**20:.1f} MiB in pieces of {len(word)} bytes, peak (tracemalloc)"
    for work, claimed in (
        (streamed, "streaming needs 70 % less memory for large responses"),
        (discarded, 'the same with retain="none": the run keeps no text either'),
    ):
        share = peaks[work] / peaks[whole]
        measured = (
            f"{peaks[whole]:.1f} MiB whole, {peaks[work]:.1f} streamed: {share:.1f} times that"
        )
        if work is streamed:
            measured += "; the run keeps the text for its result unless retain= says otherwise"
        yield Claim(claimed=claimed, measured=measured, verdict=judged(share <= 0.3), how=how)


if __name__ == "__main__":
    main("Streaming vs Buffering", claims)
