"""Limits of waits: never early, and hardly ever a timer."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest

from understudy.actors.models.patience import Patience, Watch

pytestmark = pytest.mark.anyio


async def test_a_wait_that_is_over_its_limit() -> None:
    """It is a `TimeoutError`, and the task goes on as if nobody had cancelled it."""
    loop = asyncio.get_running_loop()
    patience = Patience(Watch(loop))
    for _ in range(3):
        begin = loop.time()
        patience.limit = begin + 0.01
        with pytest.raises(TimeoutError), patience:
            await loop.create_future()
        assert loop.time() - begin >= 0.01
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    patience.close()


async def test_waits_within_their_limits_share_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred waits set one timer; a nearer limit is kept all the same."""
    loop = asyncio.get_running_loop()
    made: list[float] = []
    call_at = loop.call_at

    def counted(when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        made.append(when)
        return call_at(when, callback, *args)

    monkeypatch.setattr(loop, "call_at", counted)
    patience = Patience(Watch(loop))
    for _ in range(100):
        patience.limit = loop.time() + 60
        with patience:
            await asyncio.sleep(0)
    assert len(made) == 1
    patience.limit = loop.time() + 0.01
    with pytest.raises(TimeoutError), patience:
        await loop.create_future()
    patience.close()


class Clock:
    """A loop as far as its timers go."""

    def __init__(self) -> None:
        self.now = 10.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> "Timer":
        self.timers.append(Timer(self, when, partial(callback, *args)))
        return self.timers[-1]

    def turn_to(self, now: float) -> list[float]:
        """Ring what is due; gives when the others are."""
        self.now = now
        for timer in [timer for timer in self.timers if timer.when <= now]:
            timer.cancel()
            timer.ring()
        return self.due

    @property
    def due(self) -> list[float]:
        """When its timers are due."""
        return [timer.when for timer in self.timers]


class Timer(NamedTuple):
    """One of its timers."""

    clock: Clock
    when: float
    ring: Callable[[], object]

    def cancel(self) -> None:
        """Also when it has rung."""
        if self in self.clock.timers:
            self.clock.timers.remove(self)


async def test_a_far_limit_gets_a_timer_when_it_is_near() -> None:
    """Nothing ends early, and a wait that was given more time meanwhile has it."""
    clock: Any = Clock()
    patience = Patience(Watch(clock))
    due = []

    async def wait() -> None:
        with patience:
            due.append(clock.due)
            due.append(clock.turn_to(99.0))
            patience.limit = 200.25
            due.extend(clock.turn_to(when) for when in (100.5, 199.0, 200.25))
            await asyncio.get_running_loop().create_future()

    patience.limit = 100.5
    with pytest.raises(TimeoutError):
        await wait()
    assert due == [[99], [100.5], [199], [200.25], []]


async def test_far_limits_share_the_timer_of_their_second() -> None:
    """Those that are closed are forgotten at once; an empty second rings for nobody."""
    clock: Any = Clock()
    watch = Watch(clock)
    waits = [Patience(watch) for _ in range(100)]
    for number, patience in enumerate(waits):
        patience.limit = 100 + number / 200
        with patience:
            pass
    assert clock.due == [99]
    for patience in waits:
        patience.close()
        patience.close()
    assert clock.turn_to(99.0) == []
    waits[0].limit = 102
    with waits[0]:
        assert clock.due == [101]


async def test_an_old_timer_does_not_end_a_later_wait() -> None:
    """It rings in the middle of another wait, sees that its time has not come, and goes on."""
    loop = asyncio.get_running_loop()
    patience = Patience(Watch(loop))
    patience.limit = loop.time() + 0.01
    with patience:
        await asyncio.sleep(0)
    done = loop.create_future()
    loop.call_later(0.05, done.set_result, "late")
    patience.limit = loop.time() + 60
    with patience:
        assert await done == "late"
    patience.close()


async def test_a_cancel_by_somebody_else_stays_one() -> None:
    """Also in the same turn of the loop as ours."""
    loop = asyncio.get_running_loop()
    waiting = asyncio.Event()

    async def wait(limit: float) -> None:
        patience = Patience(Watch(loop))
        try:
            patience.limit = loop.time() + limit
            with patience:
                waiting.set()
                await loop.create_future()
        finally:
            patience.close()

    other = asyncio.create_task(wait(60))
    await waiting.wait()
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other

    patience = Patience(Watch(loop))
    task = asyncio.current_task()

    async def both() -> None:
        patience.limit = loop.time() - 1
        with patience:
            patience.look()
            asyncio.current_task().cancel()  # type: ignore[union-attr]
            await loop.create_future()

    with pytest.raises(asyncio.CancelledError):
        await both()
    assert task is not None
    assert task.uncancel() == 0
    patience.close()
