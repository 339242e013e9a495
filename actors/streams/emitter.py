"""The Emitter: who knows the open streams of a runtime, and ends those that nobody reads.

One actor for all of them, not one for each: a stream's chunks go through its buffer, its reader's
position is the producer's credit, and leaving it cancels the run directly, so nothing of a stream's
daily life is a message. What is left for an actor is what concerns somebody else: reading a stream
too, by the id of its run, cancelling it, listing them all, the watch for streams that nobody reads,
and the end of all when the runtime stops. Its register survives its restarts.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import ChildSpec
from understudy.actors.kernel.ref import Ref
from understudy.actors.streams.buffer import StreamBuffer
from understudy.actors.streams.reader import Reader, subscribe
from understudy.messages.errors import ConfigError, RuntimeStoppedError, StreamError
from understudy.messages.events import ReaderLagged, StreamIdled
from understudy.messages.streams import (
    CancelStream,
    ListStreams,
    StreamOpened,
    StreamStats,
    Subscribe,
)

if TYPE_CHECKING:
    from understudy.actors.kernel.system import ActorSystem

LOOKS = 4
"""How often a stream is looked at within the time after which it counts as idle."""


class LiveStream(msgspec.Struct):
    """A stream in the register.

    Attributes:
        cancel: ends its run.
        seen: how far its readers were when somebody last looked, and since when that is so.
    """

    run_id: str
    buffer: StreamBuffer
    cancel: Callable[[], object]
    seen: int
    since: float


class Register(dict[str, LiveStream]):
    """The open streams by the id of their run, and whether somebody looks after them."""

    looked_after = False


class Look(msgspec.Struct, frozen=True):
    """It is time to look for idle streams (from the actor to itself)."""


class EmitterActor(Actor):
    """See the module's docstring.

    Args:
        register: the open streams by the id of their run.
        timeout: seconds after which a stream that nobody reads is cancelled.
    """

    blocking = False
    expects = (ConfigError,)

    def __init__(self, register: Register, timeout: float) -> None:
        self._register = register
        self._timeout = timeout
        register.looked_after = False  # the timer of an earlier life has ended with it
        for run_id in register:
            self.ref.tell(StreamOpened(run_id=run_id))
            break

    def on_receive(
        self, message: StreamOpened | Look | Subscribe | CancelStream | ListStreams
    ) -> Any:  # Any: a Reader, whether it was cancelled, statistics
        """Serve one request."""
        match message:
            case StreamOpened():
                self._keep_looking()
            case Look():
                self._register.looked_after = False
                for live in list(self._register.values()):
                    self._look(live)
                self._keep_looking()
            case Subscribe():
                return self._subscribe(message)
            case CancelStream(run_id=run_id):
                found = self._register.get(run_id)
                if found is not None:
                    found.cancel()
                return found is not None
            case ListStreams():
                return self._list()
        return None

    def on_stop(self) -> None:
        """The runtime stops: whoever still reads gets the end."""
        for live in list(self._register.values()):
            live.buffer.close(RuntimeStoppedError("the runtime has stopped"))

    def _subscribe(self, message: Subscribe) -> Reader:
        live = self._register.get(message.run_id)
        if live is None:
            msg = f"there is no open stream of a run {message.run_id!r}"
            raise ConfigError(msg)
        return subscribe(
            live.buffer,
            after=message.after,
            text_only=message.text_only,
            on_lag=teller(self._cell.system, message.run_id),
        )

    def _list(self) -> dict[str, StreamStats]:
        return {run_id: live.buffer.stats for run_id, live in list(self._register.items())}

    def _keep_looking(self) -> None:
        live = any(not each.buffer.closed for each in list(self._register.values()))
        if live and not self._register.looked_after:
            self._register.looked_after = True
            self.timer(Look(), after=self._timeout / LOOKS)

    def _look(self, live: LiveStream) -> None:
        buffer, system = live.buffer, self._cell.system
        if buffer.closed:
            return
        now = system.now()
        readers = list(buffer.readers)
        seen = sum(reader.position for reader in readers)
        if seen != live.seen or any(reader.asleep for reader in readers):
            live.seen, live.since = seen, now
            return
        if now - live.since < self._timeout:
            return
        msg = f"nobody has read this stream for {self._timeout:g} seconds ([streaming] timeout)"
        buffer.close(StreamError(msg, reason="idle", run_id=live.run_id))
        live.cancel()
        if system.events.wants(StreamIdled):
            at = system.clock.wall()
            system.events.publish(StreamIdled(at=at, run_id=live.run_id, seconds=self._timeout))


class Streams:
    """The register of open streams, and the actor behind it. Any thread."""

    def __init__(self, system: ActorSystem, timeout: float) -> None:
        self._system = system
        self._register = Register()
        self._lock = allocate_lock()
        self._emitter: Ref[EmitterActor] | None = None
        self._timeout = timeout

    @property
    def emitter(self) -> Ref[EmitterActor]:
        """The actor; made when it is first needed."""
        with self._lock:
            if self._emitter is None:
                spec = ChildSpec(
                    cls=EmitterActor, args=(self._register, self._timeout), name="emitter"
                )
                system = self._system
                self._emitter = system.spawn(spec, parent=system.infrastructure).get()
            return self._emitter

    def open(self, run_id: str, buffer: StreamBuffer, cancel: Callable[[], object]) -> None:
        """A stream has begun."""
        now = self._system.now()
        self._register[run_id] = LiveStream(run_id, buffer, cancel, 0, now)
        if not self._register.looked_after:
            self.emitter.tell(StreamOpened(run_id=run_id))

    def close(self, run_id: str) -> None:
        """Nobody holds the stream any more."""
        self._register.pop(run_id, None)


class _Told(Protocol):
    def __call__(self, missed: int) -> None: ...


def teller(system: ActorSystem, run_id: str) -> _Told:
    """Tells the event bus of a reader of `run_id` that fell behind."""

    def tell(missed: int) -> None:
        if system.events.wants(ReaderLagged):
            at = system.clock.wall()
            system.events.publish(ReaderLagged(at=at, run_id=run_id, missed=missed))

    return tell
