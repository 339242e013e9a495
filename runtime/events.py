"""The event bus: facts for those who subscribed, and nothing for nobody.

A publisher asks `wants` first, so an event without a subscriber is never built. Callbacks run in
order on one thread of the bus, which is made at the first subscription, from a bounded queue: a
slow subscriber loses the oldest events (counted), never slows an actor down. An async callback
becomes a task on the runtime's loop, begun in order. What a callback raises is logged.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from understudy.messages.events import Event

logger = logging.getLogger("understudy.events")

E = TypeVar("E", bound=Event)
_FAILED = "a subscriber of %s failed"


class Subscription:
    """One subscriber; `cancel()` ends it.

    Attributes:
        dropped: events it lost because it was slow.
    """

    def __init__(self, bus: EventBus, kind: type[Event], callback: Callable[[Any], object]) -> None:
        self._bus = bus
        self.kind = kind
        self.callback = callback
        self.dropped = 0

    def cancel(self) -> None:
        """Get no more events."""
        self._bus.remove(self)


class EventBus:
    """See the module's docstring. Any thread.

    Args:
        name: of its thread.
        bound: events that wait for callbacks at a time.
    """

    def __init__(self, name: str, bound: int = 1000) -> None:
        self._name = name
        self._bound = bound
        self._subscriptions: tuple[Subscription, ...] = ()
        self._wanted: dict[type[Event], bool] = {}
        self._queue: deque[tuple[Subscription, Event | None]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run async callbacks on `loop`."""
        self._loop = loop

    def subscribe(self, kind: type[E], callback: Callable[[E], object]) -> Subscription:
        """Call `callback(event)` for events of `kind` or a subclass of it, on the bus's thread."""
        subscription = Subscription(self, kind, callback)
        with self._changed:
            self._subscriptions = (*self._subscriptions, subscription)
            self._wanted = {}
            if self._thread is None and not self._closed:
                self._begin()
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """End a subscription."""
        with self._changed:
            self._subscriptions = tuple(s for s in self._subscriptions if s is not subscription)
            self._wanted = {}

    def wants(self, kind: type[Event]) -> bool:
        """True when somebody subscribed to `kind` or to a base of it."""
        if not self._subscriptions:
            return False
        wanted = self._wanted
        if kind not in wanted:
            wanted[kind] = any(issubclass(kind, s.kind) for s in self._subscriptions)
        return wanted[kind]

    def publish(self, event: Event) -> None:
        """Queue `event` for its subscribers; never blocks."""
        with self._changed:
            if self._closed:
                return
            for subscription in self._subscriptions:
                if isinstance(event, subscription.kind):
                    if len(self._queue) >= self._bound:
                        self._drop_oldest()
                    self._queue.append((subscription, event))
            self._changed.notify_all()

    def after_queued(self, callback: Callable[[None], object]) -> None:
        """Call `callback(None)` once everything that is queued now was delivered."""
        with self._changed:
            if self._thread is not None and not self._closed:
                self._queue.append((Subscription(self, Event, callback), None))
                self._changed.notify_all()
                return
        callback(None)

    def flush(self, timeout: float) -> bool:
        """Wait until all callbacks for what was published have run; False when `timeout` passed."""
        if threading.current_thread() is self._thread:
            return False
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._busy, timeout)

    def end(self) -> None:
        """Take no more events; the thread ends when it has delivered what is queued."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self, timeout: float) -> None:
        """As `end`, and wait for it, up to `timeout` seconds."""
        self.end()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _begin(self) -> None:
        """Somebody listens for the first time (lock held)."""
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._thread.start()

    def _drop_oldest(self) -> None:
        """Make room (lock held); what only marks a place in the queue stays."""
        for index, (subscription, event) in enumerate(self._queue):
            if event is not None:
                subscription.dropped += 1
                del self._queue[index]
                return

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                subscription, event = self._queue.popleft()
                self._busy = True
            self._deliver(subscription, event)

    def _deliver(self, subscription: Subscription, event: Event | None) -> None:
        try:
            result = subscription.callback(event)
            if inspect.iscoroutine(result):
                self._start(result, subscription.kind)
        except Exception:
            logger.exception(_FAILED, subscription.kind.__name__)

    def _start(self, work: Coroutine[Any, Any, Any], kind: type[Event]) -> None:
        async def logged() -> None:
            try:
                await work
            except Exception:
                logger.exception(_FAILED, kind.__name__)

        if self._loop is None or self._loop.is_closed():
            work.close()
        else:
            asyncio.run_coroutine_threadsafe(logged(), self._loop)
