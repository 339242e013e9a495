"""Lazy Tool Loading: hundreds of tools that cost nothing until they are called."""

import importlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from claim import Claim, Switches, judged, main, seconds

from understudy import Runtime, ToolCall, Toolset, run_tools

SOURCE = '''"""Tool number {n}, with what such modules import and build."""
import sqlite3, xml.dom.minidom, decimal
TABLE = {{str(n): n for n in range(20_000)}}


def tool{n}(key: str) -> int:
    """Look up a key.

    Args:
        key: what to look up
    """
    return TABLE[key]
'''


def claims(switches: Switches) -> Iterator[Claim]:
    """Modules that are made for the occasion: loaded all at first, or by their first call."""
    count = switches.size(300, 10)
    with tempfile.TemporaryDirectory() as folder:
        for n in range(count):
            Path(folder, f"lazily_{n}.py").write_text(SOURCE.format(n=n))
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        paths = {f"tool{n}": f"lazily_{n}:tool{n}" for n in range(count)}
        calls = [
            ToolCall(id=str(n), name="tool1", arguments={"key": "7"}) for n in range(50)
        ]  # one tool, fifty times at once
        with Runtime():
            run_tools([], [])
            lazy: list[Toolset] = []
            declared = seconds(lambda: lazy.append(Toolset.lazy(paths)))
            before = loaded()
            results = run_tools(calls, lazy)
            after = loaded()
            eager = seconds(lambda: [importlib.import_module(f"lazily_{n}") for n in range(count)])
        sys.path.remove(folder)
    right = all(result.value == 7 for result in results)
    yield Claim(
        claimed="tools are loaded on demand: on first use, once",
        measured=f"{count} tools are declared in {declared * 1000:.1f} ms, importing them takes "
        f"{eager * 1000:.0f} ms; {before} were loaded before the first call and {after} after 50 "
        "calls of one of them at once",
        verdict=judged(declared < eager / 10 and (before, after) == (0, 1) and right),
        how="Toolset.lazy over modules written for this run. What a lazy tool "
        "says of itself to a model comes from a manifest (Toolset.manifest)",
    )


def loaded() -> int:
    """How many of the modules have been imported."""
    return sum(name.startswith("lazily_") for name in sys.modules)


if __name__ == "__main__":
    main("Lazy Tool Loading", claims, asks_model=False)
