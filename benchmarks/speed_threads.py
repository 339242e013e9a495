"""What messages from another thread cost: tells and asks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from benchmarks.floors import PATIENCE, LoopThread, PykkaEcho, pykka_tell_rate
from benchmarks.measure import Line, Measure, Reach, Samples, Scale, in_us, take_turns
from benchmarks.speed_loop import AsyncEcho, Echo

from understudy import Actor, MailboxOptions, Runtime, child


class ThreadCounter(Actor):
    """A handler on the runtime's threads; says when the last message of a burst was handled."""

    def __init__(self, last: threading.Event) -> None:
        self._last = last

    def on_receive(self, left: int) -> None:
        """One of the burst."""
        if not left:
            self._last.set()


class Counter(ThreadCounter):
    """The same on the loop."""

    blocking = False


def tell_rate(kind: type[ThreadCounter], burst: int) -> float:
    """Messages a second, from the first tell until all are handled."""
    with Runtime() as rt:
        last = threading.Event()
        mailbox = MailboxOptions(capacity=burst)
        ref = rt.spawn(child(kind, last), mailbox=mailbox)
        begin = time.perf_counter()
        for left in range(burst - 1, -1, -1):
            ref.tell(left)
        last.wait(PATIENCE)
        return burst / (time.perf_counter() - begin)


def share_refused(burst: int) -> float:
    """How much of a burst a mailbox of the default size refuses, in percent."""
    with Runtime() as rt:
        ref = rt.spawn(child(Counter, threading.Event()))
        return 100 * sum(not ref.tell(1) for _ in range(burst)) / burst


def _tells(scale: Scale) -> Samples:
    burst = scale.of(100_000)
    return take_turns(
        {
            "pykka": lambda: pykka_tell_rate(burst),
            "loop": lambda: tell_rate(Counter, burst),
            "threads": lambda: tell_rate(ThreadCounter, burst),
            "refused": lambda: share_refused(burst),
        },
        scale,
    )


def _asks(scale: Scale) -> Samples:
    """Medians and 99th percentiles of the rounds, of everything that can be asked."""
    count = scale.of(4_000)
    pykka_ref = PykkaEcho.start()
    bare = LoopThread(_new_loop())
    found: dict[str, list[float]] = {}
    with Runtime() as rt:
        sync, async_ = rt.spawn(Echo), rt.spawn(AsyncEcho)
        asks: dict[str, Callable[[int], object]] = {
            "pykka": pykka_ref.ask,
            "bare": bare.ask,
            "sync": sync.ask,
            "async": async_.ask,
        }
        for turn in range(scale.rounds):
            for name in list(asks)[:: 1 if turn % 2 == 0 else -1]:
                times = _ask_times(asks[name], count)
                found.setdefault(f"{name} p50", []).append(times[count // 2])
                found.setdefault(f"{name} p99", []).append(times[count * 99 // 100])
    bare.stop()
    pykka_ref.stop()
    return in_us(found)


def _ask_times(ask: Callable[[int], object], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        begin = time.perf_counter()
        ask(1)
        taken.append(time.perf_counter() - begin)
    return sorted(taken)


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _ask_lines(percentile: str) -> tuple[Line, ...]:
    floor = f"pykka {percentile}"
    lines = {"sync": "sync handler", "async": "async handler", "bare": "bare callback and future"}
    return tuple(
        Line(
            label=f"ask from a thread, {label}, {percentile}",
            ours=f"{name} {percentile}",
            floor=floor,
            reach=Reach(1.1) if name == "sync" else None,
        )
        for name, label in lines.items()
    )


MEASURES = (
    Measure(
        name="tell",
        run=_tells,
        pinned=True,
        lines=(
            Line(
                label="tell from a thread, loop actor",
                ours="loop",
                floor="pykka",
                unit="/s",
                reach=Reach(3, at_least=True),
                pinned=Reach(2, at_least=True),
            ),
            Line(label="tell, actor on threads", ours="threads", floor="pykka", unit="/s"),
            Line(label="refused at the default mailbox", ours="refused", unit="%"),
        ),
    ),
    Measure(name="ask", run=_asks, pinned=True, lines=(*_ask_lines("p50"), *_ask_lines("p99"))),
)
