"""Simulate many seeds, and say which of them found something.

    python -m benchmarks.simulation --seeds 10000
    python -m benchmarks.simulation --what supervisor --first 4000 --seeds 1000
    python -m benchmarks.simulation --plant dropped-job

Each seed is independent, so they are spread over the processors. The exit status is 1 when a seed
found something; with `--plant`, when none of 1,000 did.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time

from benchmarks.simulation.plants import PLANTS
from benchmarks.simulation.seeds import run_seeds

SCENARIOS = ("pool", "supervisor", "mailbox", "stage", "flows")
CHUNK = 100


def main() -> int:
    """Run; the exit status."""
    options = _options()
    what = PLANTS[options.plant].scenario if options.plant else options.what
    seeds = min(options.seeds, 1000) if options.plant else options.seeds
    begin, handled, found = time.perf_counter(), 0, []
    first = options.first
    tasks = [
        (what, options.plant, at, min(at + CHUNK, first + seeds))
        for at in range(first, first + seeds, CHUNK)
    ]
    # Spawned, not forked: each process is fresh, so seeds do not depend on who ran before.
    with multiprocessing.get_context("spawn").Pool(options.jobs) as workers:
        for messages, failures in workers.imap(run_seeds, tasks):
            handled += messages
            found += failures
            for seed, error in failures[: max(0, 5 - len(found) + len(failures))]:
                print(f"{what} seed {seed}: {error}")
            if options.plant and found:
                break
    seconds = time.perf_counter() - begin
    done = found[0][0] - first + 1 if options.plant and found else seeds
    print(
        f"{what}: {done:,} seeds, {len(found)} violations, {handled:,} messages, "
        f"{seconds:.1f} s ({seconds / seeds * 1000:.1f} ms a seed, {options.jobs} processes)"
    )
    if options.plant:
        print(f"{options.plant}: {f'found by seed {found[0][0]}' if found else 'NOT FOUND'}")
        return 0 if found else 1
    return 1 if found else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--what", choices=SCENARIOS, default="pool")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="a bug to be found")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
