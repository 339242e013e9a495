"""The limiter: how much of a limit is used, how fairly, what an outage costs, and its own price.

    python -m benchmarks.limits [--quick] [--only NAME]

Crowds, fairness and the blackout run in virtual time (see `limits_stage`): they are the same on
every machine. What a permit costs is measured on the real clock, in CPU time of the process, beside
a floor in the same run: two messages to an actor that does nothing with them. `--quick` measures
less. Exit code 0: every target is reached.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

import msgspec
from benchmarks.limits_stage import blackout, crowd, fairness

from understudy import Actor, Limit, MailboxOptions, Runtime, child
from understudy.actors.limiters.limiter import LimiterActor
from understudy.messages.limits import Acquire, AskStats, Permit, Settle

ROUNDS = 5
WAITING = 10_000
MIB = 1024 * 1024


class Row(msgspec.Struct, frozen=True):
    """One figure, and what is to be reached."""

    label: str
    measured: str
    reach: str = ""
    reached: bool = True

    def __str__(self) -> str:
        verdict = "" if not self.reach else "ok" if self.reached else "**short**"
        return f"| {self.label} | {self.measured} | {self.reach} | {verdict} |"


class Nothing(Actor):
    """The floor: takes the same messages, answers the first, and does nothing."""

    blocking = False

    def on_receive(self, message: Acquire | Settle) -> Permit | None:
        """Answer what asks."""
        return Permit(ticket="", waited=0.0) if isinstance(message, Acquire) else None


# -- in virtual time -------------------------------------------------------------------------------


def crowds(*, quick: bool) -> Iterator[Row]:
    """200 callers at 95 % of what a provider allows."""
    minutes = 3.0 if quick else 10.0
    cases = {
        "requests a minute": {"requests": 600, "tokens": 10_000_000, "up_front": False},
        "tokens a minute": {"requests": 10_000, "tokens": 200_000, "up_front": False},
        "tokens a minute, charged up front": {
            "requests": 10_000,
            "tokens": 200_000,
            "up_front": True,
        },
    }
    for label, options in cases.items():
        used = crowd(**options, minutes=minutes)  # type: ignore[arg-type]  # one type a name
        share = max(used.requests, used.tokens)
        yield Row(f"95 % of {label}, share used", f"{share:.1%}", ">= 95 %", share >= 0.95)
        yield Row("the same, 429s", f"{used.limited:.2%}", "<= 0.1 %", used.limited <= 0.001)


def fair(*, quick: bool) -> Iterator[Row]:
    """100 sessions of which half ask for a hundred times as much."""
    index = fairness(minutes=2.0 if quick else 3.0)
    yield Row("Jain's index, 100 sessions, demand 1:100", f"{index:.3f}", ">= 0.98", index >= 0.98)


def outage(*, quick: bool) -> Iterator[Row]:
    """A minute without the provider."""
    for silent, label in ((False, "connections refused"), (True, "no word until the deadline")):
        found = blackout(callers=100 if quick else 500, silent=silent)
        late = found.late * 1e3
        yield Row(f"blackout of 60 s, {label}: latest", f"{late:.0f} ms", "<= 100 ms", late <= 100)
        yield Row("the same, extra calls", f"{found.extra:.1%}", "<= 10 %", found.extra <= 0.1)
        back = f"within {found.back:.0f} s"
        yield Row("the same, back to 90 %", back, "<= 10 s", found.back <= 10)


# -- on the real clock -----------------------------------------------------------------------------


async def _cost(actor: type[Actor], *arguments: object, count: int) -> float:
    """Microseconds of CPU for a permit that is there, and its return."""
    async with Runtime() as rt:
        ref = await rt.aspawn(child(actor, *arguments))

        async def calls() -> float:
            begin = time.process_time()
            for number in range(count):
                ticket = f"t{number}"
                await ref.request(Acquire(ticket=ticket, model="m", input_tokens=100))
                ref.tell(Settle(ticket=ticket, input_tokens=90, output_tokens=10))
            return (time.process_time() - begin) / count * 1e6

        await calls()
        return await calls()


def cost(*, quick: bool) -> Iterator[Row]:
    """Acquire and settle, uncontended, inside the loop."""
    count = 2_000 if quick else 20_000
    limit = Limit(requests_per_minute=1e9, tokens_per_minute=1e12, max_concurrent=100)
    ours, floor = [], []
    for _ in range(ROUNDS):
        gc.collect()
        floor.append(asyncio.run(_cost(Nothing, count=count)))
        ours.append(asyncio.run(_cost(LimiterActor, "acme:*", limit, count=count)))
    ours_us, floor_us = statistics.median(ours), statistics.median(floor)
    ratio = f"{ours_us / floor_us:.2f}x of two messages at {floor_us:.1f} us"
    yield Row(
        "acquire + settle, two rates and slots",
        f"{ours_us:.1f} us ({ratio})",
        "<= 12 us",
        ours_us <= 12,
    )


async def _weight() -> float:
    limit = Limit(max_concurrent=1, queue=WAITING)
    async with Runtime() as rt:
        roomy = MailboxOptions(capacity=2 * WAITING)
        ref = await rt.aspawn(child(LimiterActor, "acme:*", limit).options(mailbox=roomy))
        await ref.request(Acquire(ticket="first"))
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        waiting = [
            ref.request(Acquire(ticket=f"t{i}", session=f"s{i % 100}"), timeout=600)
            for i in range(WAITING)
        ]
        stats = await ref.request(AskStats())
        gc.collect()
        used = (tracemalloc.get_traced_memory()[0] - before) / MIB
        tracemalloc.stop()
        if stats.waiting != WAITING:
            raise AssertionError(stats)
        for reply in waiting:
            reply.cancel()
        return used


def weight(*, quick: bool) -> Iterator[Row]:
    """Ten thousand who wait."""
    del quick
    used = asyncio.run(_weight())
    yield Row(f"{WAITING:,} waiting", f"{used:.1f} MiB", "<= 10 MB", used * MIB <= 10e6)


MEASURES: dict[str, Callable[..., Iterator[Row]]] = {
    "cost": cost,
    "weight": weight,
    "crowds": crowds,
    "fairness": fair,
    "blackout": outage,
}


def main() -> int:
    """Print it all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="measure less")
    parser.add_argument("--only", action="append", choices=MEASURES, metavar="NAME")
    given = parser.parse_args()
    print("| measure | measured | target | |\n|---|---|---|---|", flush=True)
    rows: list[Row] = []
    for name in given.only or MEASURES:
        for row in MEASURES[name](quick=given.quick):
            print(row, flush=True)
            rows.append(row)
    judged = [row.reached for row in rows if row.reach]
    print(f"\n{sum(judged)} of {len(judged)} targets reached")
    return 0 if all(judged) else 1


if __name__ == "__main__":
    sys.exit(main())
