"""`[streaming]`: each key is enforced."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from understudy import Agent, AgentStarted, ConfigError, Runtime, StreamError, TextDelta
from understudy.messages.streams import ListStreams
from understudy.testing import FakeModel, ManualClock

if TYPE_CHECKING:
    from tests.conftest import Gate

AGENT = Agent(FakeModel(lambda _: ["a ", "b ", "c ", "d "]))


def configured(tmp_path: Path, keys: str, **options: object) -> Runtime:
    """A runtime as a file with these keys says."""
    path = tmp_path / "understudy.toml"
    path.write_text(f"[streaming]\n{keys}\n")
    return Runtime.from_toml(path, **options)


def test_the_defaults(tmp_path: Path) -> None:
    """Nothing said: a hundred chunks, a tenth of a second, every chunk, five minutes."""
    streaming = configured(tmp_path, "").config.streaming
    assert (streaming.buffer_size, streaming.flush_interval) == (100, 0.1)
    assert (streaming.text_only, streaming.timeout) == (False, 300.0)


def test_buffer_size(tmp_path: Path) -> None:
    """At most so many chunks wait, unless the call says otherwise."""
    with configured(tmp_path, 'buffer_size = 2\nflush_interval = "0s"') as rt:
        with rt.stream(AGENT, "?") as stream:
            assert stream.collect() == "a b c d "
            assert stream._buffer.size == 2
            assert stream.stats.peak <= 3  # the end waits for no room
        with rt.stream(AGENT, "?", buffer_size=3) as stream:
            assert stream._buffer.size == 3


@pytest.mark.parametrize(("interval", "deltas"), [("0s", 4), ("1h", 2)])
def test_flush_interval(tmp_path: Path, interval: str, deltas: int) -> None:
    """Zero passes every token on; a long one joins all behind the first."""
    with (
        configured(tmp_path, f'flush_interval = "{interval}"') as rt,
        rt.stream(AGENT, "?") as stream,
    ):
        other = stream.subscribe(after=-1)
        stream.wait()
        log = [chunk for chunk in stream._buffer.log if isinstance(chunk, TextDelta)]
        assert len(log) == deltas
        assert other.collect() == "a b c d "


def test_text_only(tmp_path: Path) -> None:
    """Other chunks are left out, unless the call wants them."""
    with configured(tmp_path, "text_only = true") as rt:
        with rt.stream(AGENT, "?") as stream:
            assert not any(isinstance(chunk, AgentStarted) for chunk in stream)
        with rt.stream(AGENT, "?", text_only=False) as stream:
            assert any(isinstance(chunk, AgentStarted) for chunk in stream)


def test_timeout(tmp_path: Path, gate: "Gate") -> None:
    """A stream that nobody reads for so long is cancelled."""
    clock = ManualClock()
    with configured(tmp_path, 'timeout = "8s"', clock=clock) as rt:
        stream = rt.stream(Agent(FakeModel(gate)), "?")
        gate.until(waiting=1)
        emitter = rt.crew.streams.emitter
        for _ in range(8):
            clock.advance(2)
            emitter.ask(ListStreams(), timeout=None)
            emitter.ask(ListStreams(), timeout=None)
        gate.until(cancelled=1)
        with pytest.raises(StreamError, match="for 8 seconds"):
            stream.wait()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("buffer_size = 0", "streaming.buffer_size: Expected `int` >= 1"),
        ('flush_interval = "-1s"', "is not a duration"),
        ("flush_interval = 0.1", '0.1 has no unit; write "0.1s"'),
        ("text_only = 1", "streaming.text_only: Expected `bool`"),
        ('timeout = "0s"', "streaming.timeout: expected some time"),
        ("bufer_size = 1", "did you mean"),
    ],
)
def test_mistakes(tmp_path: Path, keys: str, told: str) -> None:
    """Each is refused with its line."""
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, keys)
    assert told in str(caught.value)
    assert "line 2" in str(caught.value)
