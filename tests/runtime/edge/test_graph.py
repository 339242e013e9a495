"""`understudy graph` prints pictures and runs nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli

FLOWS = """
[workflows.one]
mode = "sequential"
steps = [{ name = "a", function = "builtins:len" }, { name = "b", function = "builtins:str" }]
[workflows.two]
mode = "sequential"
steps = [{ name = "c", function = "builtins:len" }]
"""


def test_both_forms(cli: "Cli", tmp_path: Path) -> None:
    """Mermaid, or with --dot for Graphviz; which workflow has to be clear."""
    file = tmp_path / "flows.toml"
    file.write_text(FLOWS)
    done = cli.run("graph", file, "--workflow", "one")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == [
        "flowchart TD",
        '  s_a["a<br/>len"]',
        '  s_b["b<br/>str"]',
        "  s_a --> s_b",
    ]
    done = cli.run("graph", file, "--workflow", "one", "--dot")
    assert done.stdout.decode().startswith('digraph "one" {\n')
    done = cli.run("graph", file)
    assert done.returncode == 78
    assert b"which workflow? Name one with --workflow: one, two" in done.stderr


def test_a_chart_of_a_run(cli: "Cli", tmp_path: Path) -> None:
    """--gantt: a line for each step on standard error; the data is as it was."""
    file = tmp_path / "flows.toml"
    file.write_text(FLOWS)
    done = cli.run("run", file, "--workflow", "one", "--input", "abc", "--gantt")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"3\n"
    lines = done.stderr.decode().splitlines()
    assert [line[:4] for line in lines if "|" in line] == ["* a ", "* b "]
