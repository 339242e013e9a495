"""What models over the wire cost: agents beside the transport alone, of the same run.

    python -m benchmarks.models [--quick | --rounds N] [--only NAME]

The server (`benchmarks.model_server`) runs in a process of its own, and so does each contender, in
turns: `plain` on asyncio's loop with the required dependencies, `fast` on uvloop with llhttp (extra
`fast`; left out where it is not installed), each as an agent (`agent.arun`, `agent.astream`) and as
its transport alone, which is the floor. `httpx.AsyncClient` is printed beside them.

CPU time is of the client's process alone; the machine's load is printed, because a core that is
taken by somebody else makes wall time worth little. Exit code 0: all is reached.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import msgspec
from benchmarks.measure import Reach
from benchmarks.model_server import ModelServer, running

ROUNDS = 5
FAST = find_spec("uvloop") is not None and find_spec("httptools") is not None
KINDS = ("plain", "fast") if FAST else ("plain",)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the table."""

    label: str
    value: float
    unit: str
    floor: float | None = None
    note: str = ""
    reach: tuple[Reach, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything is reached."""
        ratio = None if self.floor is None else self.value / self.floor
        return all(reach.met(ratio, self.value) for reach in self.reach)

    def __str__(self) -> str:
        ratio = "" if self.floor is None else f"{self.value / self.floor:.2f}x"
        floor = "" if self.floor is None else f"{self.floor:,.0f}"
        reach = ", ".join(map(str, self.reach))
        verdict = "" if not self.reach else "PASS" if self.passed else "short"
        value = f"{self.value:,.{0 if self.value >= 100 else 1}f}{self.unit}"
        cells = (self.label.ljust(44), value.rjust(10), floor.rjust(8), ratio.rjust(6))
        return " ".join((*cells, reach.ljust(20), verdict.ljust(6), self.note)).rstrip()


def take(server: ModelServer, contender: str, **options: float) -> dict[str, float]:
    """What one contender finds, in a process of its own."""
    loop = "uvloop" if "-fast" in contender else "asyncio"
    command = [sys.executable, "-m", "benchmarks.models_client", contender, server.base_url]
    command += ["--loop", loop, "--options", json.dumps(options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - ourselves
    found: dict[str, float] = json.loads(done.stdout)
    return found


def in_turns(
    server: ModelServer, contenders: list[str], rounds: int, **options: float
) -> dict[str, dict[str, float]]:
    """The medians of each contender, taken forwards and backwards."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name in contenders[:: 1 if turn % 2 == 0 else -1]:
            found[name].append(take(server, name, **options))
    return {
        name: {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
        for name, samples in found.items()
    }


def _requests(given: argparse.Namespace) -> Iterator[Row]:
    """Requests a second against an instant server."""
    reaches = {
        ("plain", 16): (2_500, None),
        ("plain", 128): (2_500, None),
        ("plain", 1_000): (1_800, None),
        ("fast", 16): (5_000, 0.55),
        ("fast", 128): (5_000, 0.55),
        ("fast", 1_000): (4_000, 0.55),
    }
    with running() as server:
        for size in (16, 128, 1_000):
            contenders = [f"{how}-{kind}" for kind in KINDS for how in ("agent", "raw")]
            if size == 1_000:
                contenders += [f"agent-{kind}-spared" for kind in KINDS]
            found = in_turns(server, contenders, given.rounds, size=size, total=given.total)
            for kind in KINDS:
                least, share = reaches[kind, size]
                reach = [Reach(least, at_least=True, absolute=True)]
                reach += [Reach(share, at_least=True)] if share else []
                yield _rate(f"requests, {size} in flight, {kind}", found, kind, tuple(reach))
                if size == 1_000:
                    yield _rate("the same, the collector spared", found, kind, (), "-spared")
            few = given.total // (2 if size == 16 else 8)
            client = take(server, "client-plain", size=size, total=max(size, few))
            yield Row(
                label=f"the same, httpx.AsyncClient, {size}",
                value=client["rate"],
                unit="/s",
                note=f"{client['cpu']:.0f} us CPU each",
            )


def _latency(given: argparse.Namespace) -> Iterator[Row]:
    """A thousand in flight against 100 ms."""
    contenders = [f"{how}-{kind}" for kind in KINDS for how in ("agent", "raw")]
    with running(latency=0.1) as server:
        found = in_turns(server, contenders, given.rounds, size=1_000, total=given.total * 2)
        for kind in KINDS:
            share = 0.8 if kind == "plain" else 0.55
            reach = (Reach(share, at_least=True),)
            yield _rate(f"1,000 in flight against 100 ms, {kind}", found, kind, reach)


def _rate(
    label: str,
    found: dict[str, dict[str, float]],
    kind: str,
    reach: tuple[Reach, ...],
    how: str = "",
) -> Row:
    ours, floor = found[f"agent-{kind}{how}"], found[f"raw-{kind}"]
    note = f"{ours['cpu']:.0f} us CPU each, floor {floor['cpu']:.0f}"
    return Row(
        label=label, value=ours["rate"], unit="/s", floor=floor["rate"], reach=reach, note=note
    )


def _connections(given: argparse.Namespace) -> Iterator[Row]:  # noqa: ARG001 - as the others
    """What 100 workers x 10 requests open."""
    for kind in KINDS:
        with running(latency=0.005) as server:
            take(server, f"agent-{kind}", size=100, total=1_000, warm=0)
            opened = server.counts()["opened"]
        yield Row(
            label=f"connections of 100 workers x 10, {kind}",
            value=opened,
            unit="",
            reach=(Reach(100, absolute=True),),
        )


def _streams(given: argparse.Namespace) -> Iterator[Row]:
    """A thousand live streams."""
    with running(tokens=given.tokens, rate=8) as server:
        for kind in KINDS:
            found = in_turns(
                server, [f"streams-{kind}", f"rawstreams-{kind}"], given.stream_rounds, size=1_000
            )
            ours, raw = found[f"streams-{kind}"], found[f"rawstreams-{kind}"]
            lost = 1_000 * given.tokens - ours["chunks"]
            bound = 80 if kind == "plain" else 45
            label = f"1,000 streams x 8/s, {kind}"
            yield Row(label=f"{label}: chunks lost", value=lost, unit="", reach=(_at_most(0),))
            yield Row(
                label=f"{label}: CPU a chunk",
                value=ours["cpu"],
                unit=" us",
                floor=raw["cpu"],
                reach=(_at_most(bound),),
            )
            yield Row(
                label=f"{label}: lag, p99",
                value=ours["p99"],
                unit=" ms",
                floor=raw["p99"],
                reach=(_at_most(80),),
                note=f"p50 {ours['p50']:.1f} ms",
            )


def _cancel(given: argparse.Namespace) -> Iterator[Row]:
    """From the cancel of a stream to the server that sees its socket close."""
    with running(tokens=10_000, rate=50) as server:
        for kind in KINDS:
            spans = []
            for _ in range(5 if given.quick else 20):
                at = take_cancel(server, kind)
                spans.append((server.counts()["lost_at"] - at) / 1_000)
            yield Row(
                label=f"cancel of a stream, server sees it, {kind}",
                value=statistics.median(spans),
                unit=" ms",
                reach=(_at_most(10),),
                note=f"longest {max(spans):.1f} ms",
            )


def take_cancel(server: ModelServer, kind: str) -> float:
    """Microseconds at which a stream was cancelled."""
    return take(server, f"cancel-{kind}")["at"]


def _at_most(bound: float) -> Reach:
    return Reach(bound, absolute=True)


MEASURES = {
    "requests": _requests,
    "latency": _latency,
    "connections": _connections,
    "streams": _streams,
    "cancel": _cancel,
}


def main() -> int:
    """Print it all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each contender")
    parser.add_argument("--only", action="append", choices=MEASURES, help="of these")
    given = parser.parse_args()
    given.rounds = 1 if given.quick else given.rounds
    given.stream_rounds = (given.rounds + 1) // 2
    given.total = 2_000 if given.quick else 4_000
    given.tokens = 80
    met = True
    if not FAST:
        print("understudy[fast] is not installed: rows of the plain transport only")
    for name in given.only or MEASURES:
        print(f"{name}: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs", flush=True)
        for row in MEASURES[name](given):
            met &= row.passed
            print(row, flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
