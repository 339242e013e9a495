"""The command line as a process of its own, and things to run with it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

HELD = """
import sys, threading
from understudy import RunContext

def names(text: str) -> list[str]:
    return text.split()

def one(name: str) -> str:
    if name == "stuck":
        threading.Event().wait()
    return name.upper()

def write(ctx: RunContext) -> str:
    return f"kept {ctx['one']}"

def slow_write(ctx: RunContext) -> str:
    sys.stderr.write("writing\\n")
    sys.stderr.flush()
    threading.Event().wait()
    return ""

def bad_write(ctx: RunContext) -> str:
    sys.stderr.write("writing\\n")
    raise ValueError("not today")

def odd(text: str) -> object:
    return object()

def fails(text: str) -> str:
    raise KeyError(text)
"""
FLOW = """
[workflows.flow]
mode = "dag"
[[workflows.flow.steps]]
name = "names"
function = "held:names"
[[workflows.flow.steps]]
name = "one"
function = "held:one"
each = "{names}"
after = "names"
max_concurrent = 2
[[workflows.flow.steps]]
name = "write"
function = "held:write"
after = "one"
effects = "none"
"""

CHANGES_OUTPUT = (
    "FORCE_COLOR",
    "PYTHONIOENCODING",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
    "TTY_COMPATIBLE",
)
PATIENCE = 60
"""Seconds after which a process that hangs is killed, so that its test fails instead of hanging."""


class Cli:
    """Starts `python -m understudy` in a folder, with a clean environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digest = Path(__file__).parents[3] / "demos" / "digest.toml"
        self._left: list[tuple[subprocess.Popen[bytes], threading.Timer]] = []

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The process's own, without what would change a run."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if "UNDERSTUDY" not in name and name not in CHANGES_OUTPUT
        }
        path = os.pathsep.join(filter(None, (str(self.folder), kept.get("PYTHONPATH"))))
        mine = {"NO_COLOR": "1", "COLUMNS": "100", "PYTHONPATH": path}
        return {**kept, **mine, **(extra or {})}

    def command(self, *arguments: str | Path) -> list[str]:
        """What is started."""
        return [sys.executable, "-m", "understudy", *map(str, arguments)]

    def run(
        self, *arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end."""
        return subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, cwd=self.folder,
            env=self.environment(env), timeout=60, check=False,
        )  # fmt: skip

    def start(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one command; killed at the end of the test if it is still there."""
        process = subprocess.Popen(
            self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd=self.folder, env=self.environment(env),
        )  # fmt: skip
        return self.watch(process)

    def watch(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Have a process killed in the end, or when it hangs."""
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        self._left.append((process, timer))
        return process

    def flow(self, text: str = FLOW) -> Path:
        """A workflow of functions, one of which never returns from the item `stuck`."""
        (self.folder / "held.py").write_text(HELD)
        path = self.folder / "flow.toml"
        path.write_text(text)
        return path

    def close(self) -> None:
        """Kill what is left."""
        for process, timer in self._left:
            with process:  # closes its pipes and waits
                process.kill()
            timer.cancel()
            timer.join()


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """The command line."""
    made = Cli(tmp_path)
    yield made
    made.close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Some documents."""
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.md").write_text("# A\n\nActors exchange messages. Each handles one at a time.\n")
    (folder / "sub" / "b.txt").write_text("Supervisors restart what crashes. They count it.\n")
    return folder
