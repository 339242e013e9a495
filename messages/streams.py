"""What is said about streams: how one is buffered, how it is doing, and who wants to read it too.

The chunks themselves are in `chunks`; they never travel as messages.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from understudy.messages.errors import ConfigError

Retain = Literal["full", "tail", "none"]
TAIL_CHARACTERS = 64 * 1024
MAX_BYTES = 1024 * 1024


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a stream is buffered.

    Attributes:
        buffer_size: chunks that may wait for the reader; then the producer waits.
        flush_interval: seconds for which text may be held, so that neighbours are joined; 0: every
            delta goes on as it arrives, and nothing is ever joined. The first delta, other chunks,
            errors and the end never wait.
        text_only: chunks that are not text are never made; errors and the end arrive all the same.
        retain: how much of the text the run keeps: all of it, the last 64 KiB, or nothing.
        max_bytes: large deltas that may wait for the reader, in bytes.
    """

    buffer_size: int = 100
    flush_interval: float = 0.1
    text_only: bool = False
    retain: Retain = "full"
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        if self.buffer_size < 1:
            msg = f"buffer_size={self.buffer_size}: at least 1 chunk is needed"
            raise ConfigError(msg)
        if not 0 <= self.flush_interval < float("inf"):
            msg = f"flush_interval={self.flush_interval}: seconds, or 0 for every delta as it comes"
            raise ConfigError(msg)
        if self.retain not in ("full", "tail", "none"):
            msg = f"retain={self.retain!r}: there are 'full', 'tail' (64 KiB) and 'none'"
            raise ConfigError(msg)


BUFFERS: dict[str, tuple[int, float]] = {
    "realtime": (25, 0.010),
    "chat": (100, 0.100),
    "data": (500, 0.250),
    "batch": (1000, 0.500),
}
"""Named buffers: their `buffer_size` and `flush_interval`."""


def stream_options(
    defaults: StreamOptions, *, buffer: str | None = None, **given: Any
) -> StreamOptions:  # Any: fields of StreamOptions, None where nothing was said
    """What is in force: what was given, then the named buffer, then the defaults.

    Raises:
        ConfigError: a value that cannot be, or a buffer that there is not.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    if buffer is not None:
        if buffer not in BUFFERS:
            known = ", ".join(BUFFERS)
            raise ConfigError(f"buffer={buffer!r}: there are {known}")
        size, interval = BUFFERS[buffer]
        changes = {"buffer_size": size, "flush_interval": interval, **changes}
    for name, (kind, expected) in _KINDS.items():
        value = changes.get(name)
        if value is None or (isinstance(value, kind) and isinstance(value, bool) == (kind is bool)):
            continue
        raise ConfigError(f"{name}={value!r}: {expected} is needed")
    return msgspec.structs.replace(defaults, **changes) if changes else defaults


_KINDS: dict[str, tuple[Any, str]] = {  # Any: what isinstance takes
    "buffer_size": (int, "a number of chunks"),
    "flush_interval": ((int, float), "a number of seconds"),
    "text_only": (bool, "True or False"),
}


class StreamStats(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream is doing.

    Attributes:
        depth: chunks that wait for the owner.
        peak: the most that ever waited.
        stalled: how often the producer had to wait for the owner.
        coalesced: deltas that were joined to a neighbour.
        dropped: chunks that a reader missed because it fell out of the window; the owner never
            misses one.
        readers: who reads it, the owner included.
    """

    depth: int
    peak: int
    stalled: int
    coalesced: int
    dropped: int
    readers: int


class StreamOpened(msgspec.Struct, frozen=True, kw_only=True):
    """A stream has begun (to the Emitter)."""

    run_id: str


class Subscribe(msgspec.Struct, frozen=True, kw_only=True):
    """Read the stream of `run_id` too (to the Emitter); the reply is a reader of the window.

    Attributes:
        after: the number of the last chunk that is known already; None: from the oldest on.
        text_only: other chunks are left out.
    """

    run_id: str
    after: int | None = None
    text_only: bool = False


class CancelStream(msgspec.Struct, frozen=True, kw_only=True):
    """End the run of a stream (to the Emitter); the reply says whether there was one."""

    run_id: str


class ListStreams(msgspec.Struct, frozen=True, kw_only=True):
    """Ask the Emitter for the statistics of all open streams, by the id of their run."""
