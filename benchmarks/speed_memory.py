"""What actors weigh: idle, and after their first message."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.floors import PykkaEcho
from benchmarks.measure import Line, Measure, Reach, Samples, Scale
from benchmarks.speed_threads import Counter

from understudy import Ref, Runtime, child

CROWD = 100_000
PYKKAS = 1_000
"""Threads that a machine has room for; a figure for each actor is what counts."""
KIB = 1024.0


def _traced() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / KIB


def _resident() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / KIB


def _memory(scale: Scale, *, traced: bool) -> Samples:
    """KiB for each: it does not vary, so there is one round, and nothing is freed within it."""
    crowd = scale.of(CROWD)
    used = _traced if traced else _resident
    with Runtime() as rt:
        rt.spawn(child(Counter, threading.Event())).stop().get()
        if traced:
            tracemalloc.start()
        last = threading.Event()
        refs: list[Ref[Any] | None] = [None] * crowd  # Any: counters
        begin = used()
        for index in range(crowd):
            refs[index] = rt.spawn(child(Counter, last))
        if any(not ref.path for ref in refs if ref is not None):
            raise AssertionError("an actor without a path")
        idle = used()
        for left, ref in zip(range(crowd - 1, -1, -1), refs, strict=True):
            if ref is not None:
                ref.tell(left)
        last.wait()
        told = used()
        pykkas = [PykkaEcho.start() for _ in range(PYKKAS)]
        threads = used()
        for pykka_ref in pykkas:
            pykka_ref.stop()
        tracemalloc.stop()
    return {
        "idle": [(idle - begin) / crowd],
        "told": [(told - begin) / crowd],
        "pykka": [(threads - told) / PYKKAS],
    }


MEASURES = (
    Measure(
        name="memory",
        run=partial(_memory, traced=True),
        uvloop=False,
        lines=(
            Line(
                label="idle actor of 100,000, allocated",
                ours="idle",
                floor="pykka",
                unit="KiB",
                reach=Reach(1.2, absolute=True),
            ),
            Line(
                label="the same after its first message",
                ours="told",
                floor="pykka",
                unit="KiB",
                reach=Reach(2.0, absolute=True),
            ),
        ),
    ),
    Measure(
        name="resident",
        run=partial(_memory, traced=False),
        uvloop=False,
        lines=(
            Line(
                label="idle actor of 100,000, resident",
                ours="idle",
                floor="pykka",
                unit="KiB",
                reach=Reach(1.2, absolute=True),
            ),
            Line(
                label="the same after its first message",
                ours="told",
                floor="pykka",
                unit="KiB",
                reach=Reach(2.0, absolute=True),
            ),
        ),
    ),
)
