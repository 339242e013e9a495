"""What a process holds, looked at once a second, and whether that stays flat."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A process at one instant; `resident` in MiB."""

    at: float
    resident: float
    threads: int
    sockets: int
    files: int


ALLOWED = {"resident": 2.0, "threads": 1.0, "sockets": 2.0, "files": 2.0}
"""What each may grow by in a minute, by least squares over the second half."""
NAMES = {
    "resident": "resident set, MiB",
    "threads": "threads",
    "sockets": "sockets",
    "files": "open files",
}


def sample(at: float) -> Sample:
    """This process now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:  # closed meanwhile, as the folder itself is
            continue
    return Sample(
        at=at,
        resident=int(status.split("VmRSS:")[1].split()[0]) / 1024,
        threads=threading.active_count(),
        sockets=sum(link.startswith("socket:") for link in links),
        files=len(links),
    )


def slope(samples: list[Sample], field: str) -> float:
    """Units a minute over the second half, by least squares."""
    half = samples[len(samples) // 2 :]
    times = [each.at / 60 for each in half]
    values = [float(getattr(each, field)) for each in half]
    mean_time, mean_value = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - mean_time) ** 2 for at in times) or 1.0
    pairs = zip(times, values, strict=True)
    return sum((at - mean_time) * (value - mean_value) for at, value in pairs) / spread


def verdict(samples: list[Sample], *, minutes: float) -> list[str]:
    """Print what was held; gives what was not flat. Short soaks are printed and not judged."""
    wrong = []
    for field, name in NAMES.items():
        values = [getattr(each, field) for each in samples]
        middle, last, peak = values[len(values) // 2], values[-1], max(values)
        growth = slope(samples, field)
        print(f"  {name}: {middle:.1f} at half time, {last:.1f} at the end, peak {peak:.1f}")
        print(f"    slope over the second half: {growth:+.3f} a minute")
        if minutes >= 2 and growth > ALLOWED[field]:
            wrong.append(f"{name}: grows by {growth:.2f} a minute")
    return wrong
