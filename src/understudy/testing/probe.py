"""`Probe`: an actor that a test looks through.

    probe = Probe(rt, reply="ok")
    Publisher(audience=probe.ref).publish(News("rain"))
    assert probe.expect(News).title == "rain"       # on the loop: `await probe.aexpect(News)`
    probe.expect_none()

Its Ref is given to the code under test. It keeps what it is told or asked, in the order in which it
came, and each `expect` takes the next one: another message than the expected is a failure at once,
that says what came instead. It answers asks with `reply`, and watches.

It is an actor like any other, on a runtime with a thread of its own, on a hosted one and in a
simulation. Timeouts are those of the runtime's loop: virtual in a simulation, real under a
`ManualClock`, which nobody may advance while the test waits. `expect` is no Reply that one awaits
where one likes: an assertion that nobody awaits would pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import child
from understudy.messages.errors import ConfigError

if TYPE_CHECKING:
    from understudy.actors.kernel.ref import Ref
    from understudy.runtime.runtime import Runtime

T = TypeVar("T")

_SHOWN = 5
"""Messages that a failure names."""


class Probe:
    """See the module's docstring. Any thread, unless a method says otherwise.

    Args:
        rt: a running runtime.
        reply: the answer to every ask, or a function of the message that gives it (sync or async);
            what it raises is the asker's error.
        name: its place in the tree, `/user/name`.

    Attributes:
        ref: its address, for the code under test.
        received: every message so far, whether or not one was expected.
    """

    def __init__(
        self,
        rt: Runtime,
        *,
        reply: Any = None,  # Any: whatever the asker takes
        name: str | None = None,
    ) -> None:
        if not hasattr(rt, "is_running"):
            raise ConfigError(f"Probe({rt!r}): give the Runtime that it shall live in")
        self._rt = rt
        self._taken = 0
        self._news = asyncio.Event()
        self.received: list[Any] = []  # Any: whatever is sent
        spec = child(_ProbeActor, self._keep, reply)
        self.ref: Ref[Any] = rt.spawn(spec, name=name)

    def watch(self, ref: Ref[Any]) -> None:
        """Receive `Terminated` once, when `ref` has ended for good; never blocks."""
        watched, own = (getattr(each, "_cell", None) for each in (ref, self.ref))
        if watched is None:
            raise ConfigError(f"probe.watch({ref!r}): give the Ref of an actor of understudy")
        watched.watch(own)

    @overload
    def expect(self, wanted: type[T], *, timeout: float = ...) -> T: ...
    @overload
    def expect(self, wanted: Any = ..., *, timeout: float = ...) -> Any: ...
    def expect(self, wanted: Any = object, *, timeout: float = 3.0) -> Any:
        """Take the next message and give it; blocks until there is one.

        Args:
            wanted: its type (or a union, or a tuple of types), or what it must be equal to.
            timeout: seconds to wait for it; 0 looks at what it has handled already.

        Raises:
            AssertionError: another one came, or none.
            WouldDeadlockError: on the loop of the runtime; use `await probe.aexpect(...)`.
        """
        return self._rt.complete(self._expect(wanted, timeout), "probe.aexpect")

    @overload
    async def aexpect(self, wanted: type[T], *, timeout: float = ...) -> T: ...
    @overload
    async def aexpect(self, wanted: Any = ..., *, timeout: float = ...) -> Any: ...
    async def aexpect(self, wanted: Any = object, *, timeout: float = 3.0) -> Any:
        """The twin of `expect`, on any loop."""
        return await self._rt.on_loop(self._expect(wanted, timeout))

    def expect_none(self, *, timeout: float = 0.1) -> None:
        """See that no message is left, and that none comes within `timeout`; blocks so long.

        Raises:
            AssertionError: there is one; it stays the next to be expected.
            WouldDeadlockError: on the loop of the runtime; use `await probe.aexpect_none(...)`.
        """
        self._rt.complete(self._expect_none(timeout), "probe.aexpect_none")

    async def aexpect_none(self, *, timeout: float = 0.1) -> None:
        """The twin of `expect_none`, on any loop."""
        await self._rt.on_loop(self._expect_none(timeout))

    # -- on the runtime's loop ---------------------------------------------------------------------

    def _keep(self, message: Any) -> None:  # Any: whatever is sent
        self.received.append(message)
        self._news.set()

    async def _came(self, timeout: float) -> bool:
        """Whether there is a message that nobody has taken, or one comes in time."""
        try:
            async with asyncio.timeout(timeout):
                while self._taken == len(self.received):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _expect(self, wanted: Any, timeout: float) -> Any:  # Any: as for expect
        path, what = self.ref.path, _name(wanted)
        if not await self._came(timeout):
            msg = f"{path} expected {what}, and nothing came within {timeout} s"
            raise AssertionError(msg + self._before())
        came = self.received[self._taken]
        if not _matches(came, wanted):
            msg = f"{path} expected {what}, and {came!r} came instead{self._before()}"
            behind = self.received[self._taken + 1 :]
            if behind:
                msg += f"\n  behind it: {_shown(behind)}"
            raise AssertionError(msg)
        self._taken += 1
        return came

    async def _expect_none(self, timeout: float) -> None:
        if await self._came(timeout):
            left = self.received[self._taken :]
            msg = f"{self.ref.path} expected nothing, and there came {_shown(left)}{self._before()}"
            raise AssertionError(msg)

    def _before(self) -> str:
        taken = self.received[: self._taken]
        return f"\n  before it: {_shown(taken[-_SHOWN:], len(taken))}" if taken else ""


class _ProbeActor(Actor):
    expects = (Exception,)  # what `reply` raises is an answer

    def __init__(self, keep: Callable[[Any], None], reply: Any) -> None:  # Any: see Probe
        self._keep = keep
        self._reply = reply

    async def on_receive(self, message: Any) -> Any:  # Any: see Probe
        self._keep(message)
        answer = self._reply(message) if callable(self._reply) else self._reply
        return await answer if isawaitable(answer) else answer


def _matches(came: object, wanted: Any) -> bool:  # Any: as for expect
    if isinstance(wanted, (type, UnionType)) or _is_types(wanted):
        return isinstance(came, wanted)
    return bool(came == wanted)


def _is_types(wanted: Any) -> bool:  # Any: as for expect
    if not isinstance(wanted, tuple):
        return False
    kinds = cast("tuple[object, ...]", wanted)
    return bool(kinds) and all(isinstance(each, type) for each in kinds)


def _name(wanted: Any) -> str:  # Any: as for expect
    if wanted is object:
        return "a message"
    if _is_types(wanted):
        return " or ".join(each.__name__ for each in wanted)
    return wanted.__name__ if isinstance(wanted, type) else repr(wanted)


def _shown(messages: list[Any], count: int | None = None) -> str:  # Any: whatever is sent
    count = len(messages) if count is None else count
    listed = ", ".join(repr(each) for each in messages[:_SHOWN])
    more = count - min(len(messages), _SHOWN)
    return f"{listed} and {more} more" if more else listed
