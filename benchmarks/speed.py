"""How fast the kernel is: every measure beside a floor of the same run, as a ratio.

    python -m benchmarks.speed [--quick] [--only NAME] [--json]

Supervision, deadlines, the ledger and all lanes are on: what is measured is what users get. A line
says what the floor and ours took, their ratio, what is to be reached, and whether it is; `1 CPU`
means pinned to one, and the last columns are the same on uvloop, where it is installed. Exit code
0: all is reached.
"""

from __future__ import annotations

import sys

from benchmarks import speed_actors, speed_loop, speed_memory, speed_pool, speed_threads
from benchmarks.table import main

MEASURES = (
    *speed_loop.MEASURES,
    *speed_threads.MEASURES,
    *speed_actors.MEASURES,
    *speed_memory.MEASURES,
    *speed_pool.MEASURES,
)

if __name__ == "__main__":
    sys.exit(main("benchmarks.speed", MEASURES, __doc__, uvloop=True))
