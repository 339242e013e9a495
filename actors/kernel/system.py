"""`ActorSystem`: the stage that actors of one runtime share.

It owns the ports (clock, random numbers, dispatchers, events), the deadline wheel, the dead
letters and the root of the tree. There is no global registry: several systems live in one process
and know nothing of each other. It starts no thread and no loop; the Runtime hands it the
dispatchers it shall use.
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.body import KILL
from understudy.actors.kernel.cell import Cell
from understudy.actors.kernel.clock import Bell, Clock, SystemClock
from understudy.actors.kernel.dead_letters import DeadLetters
from understudy.actors.kernel.dispatchers.threads import ThreadsDispatcher, current_worker
from understudy.actors.kernel.ending import Ending
from understudy.actors.kernel.options import ChildSpec, MailboxOptions
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import UNSENT, Reply
from understudy.actors.kernel.waits import asks
from understudy.actors.kernel.wheel import DeadlineWheel
from understudy.actors.rules.restarts import RestartHistory, RestartPolicy
from understudy.messages.control import Ledger
from understudy.messages.envelope import Envelope
from understudy.messages.errors import (
    ConfigError,
    OverloadedError,
    RuntimeStoppedError,
    UnderstudyError,
    to_wire,
)
from understudy.messages.events import ActorParked, Event

if TYPE_CHECKING:
    import asyncio

    from understudy.actors.kernel.dispatchers.base import Dispatcher

logger = logging.getLogger("understudy.kernel")


class Events(Protocol):
    """Where facts go. `wants` is asked first, so that nothing is built for nobody."""

    def wants(self, kind: type[Event]) -> bool:
        """Whether somebody listens to `kind`."""
        ...

    def publish(self, event: Event) -> None:
        """Pass it on; never blocks."""
        ...


class NoEvents:
    """Nobody listens."""

    def wants(self, kind: type[Event]) -> bool:
        """False."""
        del kind
        return False

    def publish(self, event: Event) -> None:
        """Nothing."""


class Guardian(Actor):
    """The root of a branch: it supervises and takes no messages."""

    blocking = False


class Later:
    """A function to be called after some time; `cancel()` from any thread."""

    __slots__ = ("_bell", "_fn", "_on_loop")

    def __init__(
        self, fn: Callable[[], None], on_loop: Callable[[Callable[[], object]], None]
    ) -> None:
        self._fn: Callable[[], None] | None = fn
        self._bell: Bell | None = None
        self._on_loop = on_loop

    def cancel(self) -> None:
        """Do not call it any more."""
        self._fn = None
        bell, self._bell = self._bell, None
        if bell is not None:
            self._on_loop(bell.cancel)  # a loop's timers are not safe from other threads

    def arm(self, clock: Clock, when: float, loop: asyncio.AbstractEventLoop) -> None:
        """Set the bell, on the loop's thread."""
        if self._fn is not None:
            self._bell = clock.ring_at(when, self._ring, loop)

    def _ring(self) -> None:
        fn, self._fn, self._bell = self._fn, None, None
        if fn is not None:
            fn()


class ActorSystem:
    """See the module's docstring.

    Args:
        loop: the event loop of the `loop` dispatcher, and its thread's ident.
        dispatchers: `loop`, and threads by the name of their bulkhead.
        make_threads: makes the threads of a bulkhead that is not there yet.
        clock, rng, events: ports.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        loop_thread: int,
        dispatchers: dict[str, Dispatcher],
        make_threads: Callable[[str], Dispatcher] = lambda name: ThreadsDispatcher(name, 32),
        clock: Clock | None = None,
        rng: random.Random | None = None,
        events: Events | None = None,
        restart_policy: RestartPolicy | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.now = self.clock.now
        self.random = rng or random.Random()
        self.events: Events = events or NoEvents()
        self.loop = loop
        self.loop_thread = loop_thread
        self.dispatchers = dispatchers
        self.make_threads = make_threads
        self.runtime: Any = None  # Any: the Runtime that owns this system, which is above us
        self.restart_policy = restart_policy or RestartPolicy()
        self.debug = False  # whether users' actors get copies of messages, see `copies`
        self.on_parked: Callable[[str, BaseException], object] | None = None
        self.wheel = DeadlineWheel(self.clock, loop, self.call_on_loop)
        self.dead_letters = DeadLetters(self)
        self.closing = False
        self.lost: UnderstudyError | None = None  # why nothing can be handled any more
        self.left_behind: dict[int, str] = {}  # paths of handlers that were abandoned
        self._haunted: list[Ending] = []
        self.failures: deque[tuple[str, BaseException]] = deque(maxlen=100)
        """The last unexpected failures, with the path of the actor; tests look at them."""
        self._numbers = itertools.count(1)
        self._lock = allocate_lock()
        self._past = Ledger()
        self.parked_cells: dict[str, Ending] = {}
        self.user = self._root("user")
        self.infrastructure = self._root("system")

    def _root(self, name: str) -> Cell:
        spec = ChildSpec(cls=Guardian, mailbox=MailboxOptions(capacity=1))
        cell = Cell(self, self.dispatchers["loop"], spec, None, name)
        cell.ref = Ref(cell)
        cell.build()
        cell._started()
        return cell

    # -- making actors -----------------------------------------------------------------------------

    def spawn(
        self,
        spec: ChildSpec,
        *,
        parent: Cell | None = None,
        kind: Callable[..., Cell] = Cell,
        prepare: Callable[[Any], None] | None = None,  # Any: a cell of that kind
    ) -> Reply[Ref[Any]]:
        """Make an actor. Its `__init__` runs here; the Reply is answered after `on_start`.

        Raises:
            ConfigError: the parent has a child of that name.
            RuntimeStoppedError: the system is shutting down.
            Exception: whatever the actor's `__init__` raises.
        """
        parent = parent or self.user
        if self.lost is not None:
            raise self.lost
        if self.closing:
            msg = "the runtime is stopping and makes no more actors"
            raise RuntimeStoppedError(msg)
        name: str | int = spec.name if spec.name is not None else next(self._numbers)
        cell = kind(self, self.dispatcher_for(spec), spec, parent, name)
        if prepare is not None:
            prepare(cell)
        cell.ref = Ref(cell)
        return self.adopt(cell, parent)

    def adopt(self, cell: Cell, parent: Cell) -> Reply[Ref[Any]]:
        """Give `cell` its instance and its place under `parent`, and start it."""
        cell.build()
        if parent.ended:
            raise parent.dead_error()
        children = parent.children
        if children is None:
            children = parent.children = {}
        if children.setdefault(cell.name, cell) is not cell:
            msg = f"{parent.path} already has a child named {cell.name!r}"
            raise ConfigError(msg)
        if parent.ended:  # meanwhile
            children.pop(cell.name, None)  # type: ignore[unreachable]  # a thread may end it
            raise parent.dead_error()
        reply: Reply[Ref[Any]] = Reply(cell)
        cell.starters = [reply]
        cell.start()
        return reply

    def dispatcher_for(self, spec: ChildSpec) -> Dispatcher:
        """The loop, or the threads of the actor's bulkhead (made when first needed)."""
        traits = spec.cls.traits
        if traits.on_loop:
            return self.dispatchers["loop"]
        threads = self.dispatchers.get(traits.bulkhead)
        if threads is None:
            with self._lock:
                threads = self.dispatchers.setdefault(
                    traits.bulkhead, self.make_threads(traits.bulkhead)
                )
        return threads

    # -- what cells ask for ------------------------------------------------------------------------

    def call_on_loop(self, fn: Callable[[], object]) -> None:
        """Run `fn` on the loop's thread: now when this is it, soon otherwise."""
        if get_ident() == self.loop_thread:
            fn()
            return
        try:
            self.loop.call_soon_threadsafe(fn)
        except RuntimeError:
            self._lose_soon()

    def hasten(self, reply: Reply[Any]) -> None:
        """Somebody waits for `reply` on the loop's thread: see `LoopDispatcher.hasten`."""
        self.dispatchers["loop"].hasten(reply)

    def after(self, delay: float, fn: Callable[[], None]) -> Later:
        """Call `fn` on the loop after `delay` seconds. Any thread."""
        later = Later(fn, self.call_on_loop)
        when = self.now() + delay
        self.call_on_loop(lambda: later.arm(self.clock, when, self.loop))
        return later

    def blocking(self, reply: Reply[Any], cell: Cell, wait: Callable[[], None]) -> None:
        """Run `wait`, which blocks this thread on an answer of `cell`.

        Raises:
            DeadlockError: `cell` waits for the handler that runs here.
            OverloadedError: the threads of this bulkhead all wait, and so do as many spare ones,
                and the answer needs one of them.
        """
        worker = current_worker()
        if worker is None:
            wait()
            return
        asker = None if reply.work == UNSENT else asks(reply, cell)
        try:
            with worker.dispatcher.spare(reply):
                wait()
        except OverloadedError:
            reply.cancel()
            raise
        finally:
            if asker is not None and asker.waits_for:
                asker.waits_for.remove(reply)

    def restart_delay(self, cell: Ending) -> float | None:
        """Seconds until `cell` may start again, or None when it has failed too often."""
        if cell.restarts is None:
            cell.restarts = RestartHistory()
        history: RestartHistory = cell.restarts
        return history.delay(self.restart_policy, self.now(), self.random.random())

    def log_failure(self, cell: Ending, error: BaseException) -> None:
        """Keep an unexpected failure, and log it with its traceback."""
        self.failures.append((cell.path, error))
        logger.error("%s failed: %r", cell.path, error, exc_info=error)

    def log_abandoned(self, cell: Ending, env: Envelope) -> None:
        """A handler did not end after its cancellation and is left behind."""
        kind = type(env.message).__name__
        logger.error("%s did not end after its cancellation in %s: abandoned", cell.path, kind)

    def parked(self, cell: Ending) -> None:
        """`cell` has failed too often and stands still."""
        self.parked_cells[cell.path] = cell
        error = cell.last_error or RuntimeError("unknown")
        logger.error("%s is parked after too many failures, the last: %r", cell.path, error)
        if self.events.wants(ActorParked):
            at = self.clock.wall()
            self.events.publish(ActorParked(at=at, path=cell.path, error=to_wire(error)))
        if self.on_parked is not None:
            self.on_parked(cell.path, error)

    def ended(self, cell: Ending, error: BaseException | None) -> None:
        """`cell` has ended for good: keep its account."""
        del error
        if self.parked_cells:
            self.parked_cells.pop(cell.path, None)
        if not (cell.accepted or cell.refused):
            return
        ledger = cell.ledger()
        if ledger.abandoned:
            self._haunted.append(cell)  # its account is not closed yet
        else:
            with self._lock:
                self._past = self._past + ledger

    def loop_lost(self) -> None:
        """The loop is closed: nothing can be handled any more; answer everybody who still waits."""
        if self.lost is None and not self.closing:
            self.lose(RuntimeStoppedError("the event loop of this runtime was closed under it"))

    def _lose_soon(self) -> None:
        """As `loop_lost`, for a caller that may hold the lock of some actor: on a thread."""
        if self.lost is None and not self.closing:
            with suppress(RuntimeError):  # the interpreter ends: nobody waits any more
                threading.Thread(target=self.loop_lost, daemon=True).start()

    def lose(self, error: UnderstudyError) -> None:
        """End everything here and now, without the loop: `error` is what everybody is told."""
        self.closing = True
        self.lost = error
        self.loop_thread = 0  # nobody there can be waited for any more
        for cell in self.cells():
            cell.lose(error)

    # -- looking -----------------------------------------------------------------------------------

    def cells(self) -> list[Cell]:
        """All cells that live, parents before children."""
        found: list[Cell] = []
        stack = [self.infrastructure, self.user]
        while stack:
            cell = stack.pop()
            found.append(cell)
            stack.extend(list((cell.children or {}).values()))
        return found

    def ledger(self) -> Ledger:
        """The sum over all actors that ever lived here."""
        with self._lock:
            total = self._past
        for cell in (*self.cells(), *self._haunted):
            total = total + cell.ledger()
        return total

    def kill_all(self) -> list[Reply[Any]]:
        """Kill both branches; the replies are answered when they have ended."""
        return [root.halt(KILL) for root in (self.user, self.infrastructure)]
