"""The stage of a simulation: the production one, with a hook around every handler.

The hook is a subclass that each cell gets when it is adopted. It sees every message that is sent
(`post`) and every message that is handled (`receive`), and that is where the trace is written and
where faults happen; the code that actors run on knows nothing of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import cache, partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from understudy.actors.kernel.accounts import Accounts
from understudy.actors.kernel.cell import Cell
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.dispatchers.sim import stream
from understudy.actors.kernel.faults import Fault, Faults, SimulatedCrashError
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.system import ActorSystem
from understudy.messages.control import Overflow
from understudy.messages.envelope import Envelope, Lane

if TYPE_CHECKING:
    from understudy.actors.kernel.clock import Bell
    from understudy.actors.kernel.dispatchers.sim_baton import Baton
    from understudy.actors.kernel.dispatchers.sim_loop import SimLoop

_WALL = 1_767_225_600.0  # 2026-01-01, so that what is shown is a date of our time
_LAST = 20
_Key = tuple[str, int, str]


class SimClock:
    """The clock port of a simulation."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Virtual seconds; refuses threads that are none of the simulation's own."""
        self._loop.admit()
        return self._loop.time()

    def wall(self) -> float:
        """A date that moves with virtual time."""
        return _WALL + self._loop.time()

    def ring_at(
        self, when: float, ring: Callable[[], None], loop: asyncio.AbstractEventLoop
    ) -> Bell:
        """See `Clock.ring_at`: exactly then."""
        return loop.call_at(when, ring)


class Trace:
    """What was handled: a digest of all of it, and the last few messages in words."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self.last: deque[str] = deque(maxlen=_LAST)
        self.handled = 0

    def note(self, at: float, path: str, message: object) -> None:
        """`message` is about to be handled."""
        line = f"{at!r} {path} {type(message).__name__}"
        self._hash.update(line.encode())
        self.last.append(line)
        self.handled += 1

    @property
    def digest(self) -> str:
        """Equal when the same messages were handled by the same actors at the same times."""
        return self._hash.hexdigest()


class SimSystem(ActorSystem):
    """See the module's docstring.

    Args:
        seed: of faults, and of when threads are interrupted.
        faults: the plan.
        baton: of the threads.
        ports: as for `ActorSystem`.
    """

    def __init__(self, *, seed: int, faults: Faults, baton: Baton, **ports: Any) -> None:
        self.trace = Trace()
        self.asked: list[Reply[Any]] = []
        self.dropped: list[Reply[Any]] = []
        self._enough = 1000
        self._faults = faults
        self._baton = baton
        self._rng = stream(seed, "faults")
        self._pauses = stream(seed, "pauses")
        self._plans: dict[tuple[str, str], tuple[tuple[_Key, Fault], ...]] = {}
        self._counts: dict[_Key, int] = {}
        super().__init__(**ports)

    def adopt(self, cell: Cell, parent: Cell) -> Reply[Ref[Any]]:
        """See `ActorSystem.adopt`."""
        cell.__class__ = _simulated(type(cell))
        return super().adopt(cell, parent)

    def unanswered(self) -> list[str]:
        """Who still owes an answer, except for those that a fault has lost."""
        lost = {id(reply) for reply in self.dropped}
        left = [reply for reply in self.asked if not reply.done and id(reply) not in lost]
        return [reply._cell.path for reply in left if reply._cell is not None]

    # -- what simulated cells ask for --------------------------------------------------------------

    def sent(self, cell: Cell, env: Envelope) -> bool:
        """A message is sent to `cell`; False when a fault refuses it."""
        if env.reply is not None:
            self.asked.append(env.reply)
            if len(self.asked) > self._enough:
                self.asked = [reply for reply in self.asked if not reply.done]
                self._enough = 1000 + 2 * len(self.asked)
        if not self._faults.full_mailbox or env.lane != Lane.USER or cell.closed:
            return True
        if cell.options.overflow != Overflow.REJECT:
            return True
        return self._hit("full_mailbox", cell.path) is None

    def staged(self, cell: Cell, receive: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A handler that leaves a trace, and that faults may hit."""
        path, loop, trace = cell.path, self._baton.loop, self.trace
        threaded = not cell.dispatcher.on_loop
        faulty = any(self._matching(kind, path) for kind in ("crash", "slow", "drop_reply"))
        wait = self._baton.sleep if threaded else loop.advance
        play = self._play_async if cell.is_async else partial(self._play, wait)

        def handle(message: Any) -> Any:  # Any: what handlers take and return
            if threaded:
                self._pause()
            trace.note(loop.time(), path, message)
            value = play(self._mishap(path), receive, message) if faulty else receive(message)
            if threaded:
                self._pause()
            return value

        return handle

    # -- private -----------------------------------------------------------------------------------

    def _pause(self) -> None:
        """Between two messages a thread may be interrupted."""
        if self._pauses.random() < 0.5:
            self._baton.breathe()

    def _mishap(self, path: str) -> _Mishap:
        slow, crash = self._hit("slow", path), self._hit("crash", path) is not None
        env = in_hand.get() if self._hit("drop_reply", path) is not None else None
        early = crash and self._rng.random() < 0.5
        seconds = 0.0 if slow is None else self._rng.uniform(*slow.span)
        return _Mishap(path, seconds, early, crash, env)

    def _play(
        self,
        wait: Callable[[float], None],
        mishap: _Mishap,
        receive: Callable[[Any], Any],
        message: Any,
    ) -> Any:  # Any: what handlers take and return
        """Handle `message` with what goes wrong in it."""
        if mishap.seconds:
            wait(mishap.seconds)
        mishap.before()
        value = receive(message)
        self._drop(mishap.after())
        return value

    async def _play_async(
        self, mishap: _Mishap, receive: Callable[[Any], Any], message: Any
    ) -> Any:  # Any: as above
        """The twin of `_play`."""
        if mishap.seconds:
            await asyncio.sleep(mishap.seconds)
        mishap.before()
        value = await receive(message)
        self._drop(mishap.after())
        return value

    def _drop(self, env: Envelope | None) -> None:
        """Lose the answer to `env`: whoever sees the handler through finds nobody to answer."""
        if env is not None and env.reply is not None:
            self.dropped.append(env.reply)
            env.reply = None

    def _hit(self, kind: str, path: str) -> Fault | None:
        """The first fault of that kind that hits the actor's next message."""
        hit = None
        for key, fault in self._matching(kind, path):
            count = self._counts[key] = self._counts.get(key, 0) + 1
            drawn = fault.chance > 0 and self._rng.random() < fault.chance
            if hit is None and (drawn or count in fault.numbers):
                hit = fault
        return hit

    def _matching(self, kind: str, path: str) -> tuple[tuple[_Key, Fault], ...]:
        found = self._plans.get((kind, path))
        if found is None:
            found = self._plans[kind, path] = tuple(
                ((kind, index, path), fault)
                for index, fault in enumerate(self._faults.of(kind))
                if fault.matches(path)
            )
        return found


class _Mishap(NamedTuple):
    """What goes wrong with one message."""

    path: str
    seconds: float
    early: bool
    crash: bool
    drop: Envelope | None

    def before(self) -> None:
        """Crash in front of the handler, if so."""
        if self.early:
            raise SimulatedCrashError(f"{self.path} was told to crash", actor=self.path)

    def after(self) -> Envelope | None:
        """Crash behind the handler, if so; else the message whose answer is lost."""
        if self.crash:
            raise SimulatedCrashError(f"{self.path} was told to crash", actor=self.path)
        return self.drop


_since: Any = vars(Accounts)["since"]  # Any: the slot itself


@cache
def _simulated(kind: type[Cell]) -> type[Cell]:
    """`kind` of cell with the hook."""

    class Simulated(kind):  # type: ignore[misc, valid-type] # any kind of cell
        """See `SimSystem`. It adds no slots, so that a cell can become one."""

        __slots__ = ()
        system: SimSystem

        @property
        def since(self) -> float:
            """When the handler in hand began: runners measure work, this is virtual time."""
            since: float = _since.__get__(self)
            return since

        @since.setter
        def since(self, at: float) -> None:
            del at
            _since.__set__(self, self.system.now())

        def build(self) -> None:
            super().build()
            self.receive = self.system.staged(self, self.receive)  # type: ignore[misc, has-type]

        def post(self, env: Envelope) -> bool:
            if not self.system.sent(self, env):
                self._refuse(env)
                return False
            accepted: bool = super().post(env)
            return accepted

    Simulated.__name__ = Simulated.__qualname__ = kind.__name__
    return Simulated
