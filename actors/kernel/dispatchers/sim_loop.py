"""The event loop of a simulation: a virtual clock, and nothing of the world outside.

`time()` stands still while anything is ready and jumps to the next timer when nothing is, so
`asyncio.sleep`, timeouts and locks are simulated too. When nothing is ready and no timer is set,
and yet somebody waits, nothing can ever happen again: that raises instead of hanging.

Guarantees
- What runs next depends on nothing but the program and the seed: ready callbacks are first come,
  first served, tasks and futures hash by the order in which they were made (asyncio keeps them in
  sets, and a set's order is its hashes' order, which are addresses otherwise).
- Sockets, pipes, subprocesses, executors and signals raise; so does a thread that is none of the
  simulation's own.

Why not a patched `SelectorEventLoop`: it owns a selector and a socket pair, which cost more than a
whole small simulation, and whatever is not patched works by accident.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from _thread import get_ident
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from typing import Any, NoReturn, TypeVarTuple

from understudy.messages.errors import UnderstudyError

Ts = TypeVarTuple("Ts")

EPOCH = 1000.0
"""Where virtual time begins. Not at zero: somebody always tests a time with `if`."""
STILL = 100_000
"""Turns of the loop at one instant after which time is said to stand still."""


class SimulationError(UnderstudyError):
    """A simulation cannot go on, or did not end as it should."""


class SimulationDeadlockError(SimulationError):
    """Nothing is left to do while somebody waits."""


class SimTask(asyncio.Task[Any]):  # Any: what coroutines return
    """A task that hashes by its number; see the module's docstring."""

    def __init__(self, coro: Any, *, loop: SimLoop, **options: Any) -> None:  # Any: asyncio's own
        self.number = next(loop.numbers)
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self.number


class SimFuture(asyncio.Future[Any]):  # Any: asyncio's own
    """A future that hashes by its number; see the module's docstring."""

    def __init__(self, *, loop: SimLoop) -> None:
        self.number = next(loop.numbers)
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.BaseEventLoop):
    """See the module's docstring.

    Args:
        limit: seconds of virtual time after which a simulation is said never to end.
    """

    # What BaseEventLoop keeps and its type stub does not show.
    _ready: Any
    _scheduled: list[Any]

    def __init__(self, *, limit: float = 86_400.0) -> None:
        super().__init__()
        self._selector = self
        self._now = EPOCH
        self._limit = EPOCH + limit
        self._turns = 0
        self.numbers = itertools.count(1)
        self.threads = {get_ident()}
        """Idents of the threads that belong to the simulation."""
        self.trespassers: list[str] = []
        self.errors: list[dict[str, Any]] = []  # Any: asyncio's exception contexts
        self.fatal: SimulationError | None = None
        self.dying = False
        self.stuck: Callable[[], str] = lambda: "nothing is known about who waits"
        """Says who waits; asked when nothing can happen any more."""
        self.set_task_factory(_make_task)
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    # -- time ------------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Somebody keeps the loop busy for that long; what is due meanwhile comes late."""
        self._now += seconds
        self._clock_resolution = 2 * math.ulp(self._now)

    def select(self, timeout: float | None) -> tuple[()]:
        """Nothing is ready (unless `timeout` is 0): go on to the next timer."""
        if timeout == 0:
            self._turns += 1
            if self._turns > STILL:
                msg = f"time stands still: {STILL} turns of the loop at one instant. {self.stuck()}"
                raise SimulationError(msg)
            return ()
        self._turns = 0
        if timeout is None:
            if not self.dying:
                raise SimulationDeadlockError(self._nothing_left())
            self.stop()
            return ()
        when: float = self._scheduled[0].when()
        if when > self._limit:
            seconds = self._limit - EPOCH
            msg = f"not at an end after {seconds:g} s of virtual time (limit=). {self.stuck()}"
            raise SimulationError(msg)
        if when > self._now:
            self.advance(when - self._now)
            self._now = when
        return ()

    def _nothing_left(self) -> str:
        msg = f"nothing is left to do while somebody waits. {self.stuck()}"
        if self.trespassers:
            msg += f" Threads that are not the simulation's own: {'; '.join(self.trespassers)}."
        return msg

    # -- what asyncio asks of a loop ---------------------------------------------------------------

    def _process_events(self, event_list: tuple[()]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""

    def _check_thread(self) -> None:
        """In asyncio's debug mode: only threads of the simulation's own."""
        self.admit()

    def create_future(self) -> asyncio.Future[Any]:
        """See `AbstractEventLoop`."""
        return SimFuture(loop=self)

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """See `AbstractEventLoop`; for threads of the simulation's own."""
        self._check_closed()  # type: ignore[attr-defined]  # BaseEventLoop's own
        self.admit()
        return self.soon(callback, *args, context=context)

    def soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As `call_soon`, from whichever thread holds the baton."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def admit(self) -> None:
        """Refuse threads that are none of the simulation's own."""
        if get_ident() not in self.threads:
            name = threading.current_thread().name
            self.trespassers.append(f"thread {name!r}")
            msg = (
                f"thread {name!r} reaches into a simulation, which could not be replayed; use a "
                "blocking actor (a plain `def on_receive`) instead of a thread"
            )
            raise SimulationError(msg)

    def fail(self, error: SimulationError) -> None:
        """End the simulation with `error`, from within a callback."""
        self.fatal = self.fatal or error
        self.stop()

    # -- the end -----------------------------------------------------------------------------------

    def cancel_all(self) -> None:
        """Cancel every task, and turn until nothing more happens."""
        self.dying = True
        for _ in range(3):
            left = sorted(asyncio.all_tasks(self), key=hash)
            if not left:
                return
            for task in left:
                task.cancel()
            self._turns, self._limit = 0, self._now + 3600
            self.soon(lambda: None)
            with suppress(SimulationError):  # who goes on for ever is left behind
                self.run_forever()
        closed: set[asyncio.Task[Any]] = set()
        while tasks := sorted(asyncio.all_tasks(self) - closed, key=hash):
            closed.update(tasks)  # the end of one may begin another, which ends without a step
            for task in tasks:
                with suppress(BaseException):  # here and now, not when its garbage is collected
                    work: Any = task.get_coro()  # Any: a coroutine; None if it was eager and ended
                    work.close()

    def _refuse(self, name: str) -> NoReturn:
        msg = (
            f"loop.{name}() in a simulation: there are no sockets, files, processes, executors or "
            "signals. Hand in what stands for them: a FakeModel, a ScriptedTransport, a DictStorage"
        )
        raise SimulationError(msg)


def _make_task(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],  # Any: asyncio's protocol
    **options: Any,  # Any: differ by version
) -> asyncio.Task[Any]:  # Any: what coroutines return
    return SimTask(coro, loop=loop, **options)  # type: ignore[arg-type] # set on SimLoops alone


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(self: SimLoop, *args: Any, **kwargs: Any) -> NoReturn:  # Any: never used
        del args, kwargs
        self._refuse(name)

    return refuse


for _name in (
    "run_in_executor getaddrinfo getnameinfo create_connection create_server start_tls sendfile "
    "create_datagram_endpoint create_unix_connection create_unix_server connect_accepted_socket "
    "sock_recv sock_recv_into sock_recvfrom sock_recvfrom_into sock_sendall sock_sendto "
    "sock_connect sock_accept sock_sendfile add_reader remove_reader add_writer remove_writer "
    "connect_read_pipe connect_write_pipe subprocess_exec subprocess_shell add_signal_handler "
    "remove_signal_handler"
).split():
    setattr(SimLoop, _name, _refusal(_name))
