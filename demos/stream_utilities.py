"""Stream Utilities Performance: the guide's ranking, measured."""

from collections.abc import Callable, Iterator
from functools import partial

from claim import Claim, Switches, in_turns, judged, main

from understudy import Agent, Runtime, Stream, StreamEnd, collect_stream, stream_to_queue
from understudy.testing import FakeModel


def direct(stream: Stream[str]) -> None:
    """The guide's fastest."""
    for chunk in stream:
        _ = chunk.delta


def to_channel(stream: Stream[str]) -> None:
    """The guide's moderate one; a channel is a queue here."""
    waiting = stream_to_queue(stream)
    while not isinstance(waiting.get(), StreamEnd):
        pass


def as_reader(stream: Stream[str]) -> None:
    """The guide's slower one."""
    reader = stream.as_reader()
    while reader.read(4096):
        pass


WAYS: dict[str, Callable[[Stream[str]], object]] = {
    "direct": direct,
    "collect": collect_stream,
    "channel": to_channel,
    "reader": as_reader,
}


def claims(switches: Switches) -> Iterator[Claim]:
    """The same text in four ways, in turns."""
    tokens = switches.size(30_000, 300)
    agent = Agent(switches.model_or(FakeModel(lambda _: ("word " for _ in range(tokens)))))

    words: list[int] = []

    def use(read: Callable[[Stream[str]], object]) -> None:
        with agent.stream("Tell a story", flush_interval=0) as stream:
            read(stream)
            words.append(len(stream.wait().text.split()))  # raises what went wrong

    with Runtime():
        best = in_turns(
            {way: partial(use, read) for way, read in WAYS.items()}, switches.size(9, 2)
        )
    ranking = sorted(best, key=lambda way: best[way])
    rates = ", ".join(f"{way} {words[-1] / best[way]:,.0f}" for way in ranking)
    how = f"{tokens:,} one-word chunks at once, flush_interval=0; CPU time, best of 9, in turns"
    yield Claim(
        claimed="fastest to slowest: direct chunks, collect, channel, reader",
        measured=f"{rates} words for a second of CPU ({' > '.join(ranking)})",
        verdict=judged(ranking == list(WAYS)),
        how=how,
    )


if __name__ == "__main__":
    main("Stream Utilities Performance", claims)
