"""The pictures of the documentation, drawn anew.

    python -m benchmarks.picture

A digest of a folder of documents and of a path that does not exist, while it runs and when it has
ended, as `docs/digest.svg`; what `understudy loadtest` and `doctor` print, as `docs/loadtest.svg`
and `docs/doctor.svg`. They name no web font: a page that shows them loads nothing else.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks.corpus import make_corpus
from rich.console import Console
from rich.text import Text

from understudy import Runtime, StepCompleted, Workflow
from understudy.runtime.config.build import build_workflow
from understudy.runtime.config.load import load_config
from understudy.runtime.edge.cli.progress import Progress
from understudy.runtime.edge.cli.report import Report
from understudy.runtime.graph import check_workflow

ROOT = Path(__file__).parents[1]
WIDTH = 84
FONTS = "ui-monospace, Menlo, Consolas, monospace"


def draw(folder: str, picture: Path) -> None:
    """Run the digest and save what a terminal shows of it."""
    config = load_config(ROOT / "demos" / "digest.toml", {}, check=check_workflow)
    workflow = Workflow.from_spec(build_workflow(config, "digest"))
    with Path(os.devnull).open("w") as nowhere, Runtime(config=config) as rt:
        console = Console(record=True, width=WIDTH, force_terminal=True, file=nowhere)
        command = f"$ understudy run demos/digest.toml {folder} nope.md > digest.md\n"
        console.print(command, highlight=False)
        progress = Progress(rt, workflow)
        half_way, count = threading.Event(), iter(range(10_000))
        half = len(list(Path(folder).rglob("*.*"))) // 2

        def look(event: StepCompleted) -> None:
            if event.path.startswith("document[") and "/" not in event.path and next(count) == half:
                console.print(progress.table(), "")
                half_way.set()

        rt.events.subscribe(StepCompleted, look)
        result = workflow.run([folder, "nope.md"], runtime=rt)
        if not half_way.wait(10):
            raise SystemExit(f"{folder}: too few documents, or too fast to be looked at")
        Report(workflow, result, None, interrupted=False).show(console)
    save(console, "understudy run", picture)


def capture(arguments: list[str], picture: Path, *, lines: int) -> None:
    """Run a command and save the first lines of what it prints, with its colours."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "understudy", *arguments],
        stdout=subprocess.PIPE, cwd=ROOT, env=environment, check=True,
    )  # fmt: skip
    page = done.stdout.decode().splitlines()
    shown = page[:lines] + (["..."] if len(page) > lines else [])
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, force_terminal=True, file=nowhere)
        console.print(f"$ understudy {shlex.join(arguments)}\n", highlight=False)
        console.print(Text.from_ansi("\n".join(shown)))
    save(console, f"understudy {arguments[0]}", picture)


def save(console: Console, title: str, picture: Path) -> None:
    """What a console has recorded, as a picture without web fonts."""
    svg = console.export_svg(title=title)
    svg = re.sub(r"\s*@font-face \{.*?\n    \}", "", svg, flags=re.DOTALL)
    svg = svg.replace("font-family: Fira Code, monospace", f"font-family: {FONTS}")
    picture.write_text(re.sub(r"\n\s*<!-- Generated with Rich .*? -->", "", svg))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as parent, contextlib.chdir(parent):
        make_corpus(Path("notes"), files=1000, size_bytes=20_000_000)
        draw("notes", ROOT / "docs" / "digest.svg")
    load = ["loadtest", "--rate", "200", "--duration", "5", "--latency", "0.05", "--agents", "20"]
    capture(load, ROOT / "docs" / "loadtest.svg", lines=40)
    capture(["doctor", "demos/digest.toml"], ROOT / "docs" / "doctor.svg", lines=38)
