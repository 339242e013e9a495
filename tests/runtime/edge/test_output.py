"""Standard output and error: data on the one, everything else on the other, whatever they are."""

import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli

ODD = '[workflows.flow]\nmode = "sequential"\n[[workflows.flow.steps]]\nname = "a"\nfunction = '


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_is_a_failure_in_one_line(cli: "Cli", tree: Path) -> None:
    """The run's report is shown all the same; exit code 1, no traceback."""
    with Path("/dev/full").open("wb") as full:
        process = Popen(
            cli.command("run", cli.digest, tree), stdout=full, stderr=PIPE, env=cli.environment()
        )
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"digest: completed" in said
    assert b"standard output cannot be written: No space left on device" in said
    assert b"Traceback" not in said
    assert b"Exception ignored" not in said


def test_a_reader_that_has_gone_is_a_failure_in_one_line(cli: "Cli", tree: Path) -> None:
    """`| head` ends in no traceback, also not when the interpreter flushes at its end."""
    reading, writing = os.pipe()
    os.close(reading)
    process = Popen(
        cli.command("run", cli.digest, tree), stdout=writing, stderr=PIPE, env=cli.environment()
    )
    os.close(writing)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"standard output cannot be written: Broken pipe" in said
    assert b"Traceback" not in said
    assert b"Exception ignored" not in said


def test_what_does_not_encode_is_printed_as_python_writes_it(cli: "Cli") -> None:
    """An output of any type is no reason for a traceback; as JSON it is an error that names it."""
    flow = cli.flow(ODD + '"held:odd"\n')
    plain = cli.run("run", flow, "--input", "x")
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.startswith(b"<object object")
    as_json = cli.run("run", flow, "--input", "x", "--json")
    assert as_json.returncode == 1
    assert as_json.stdout == b""
    assert b"the result is no JSON: " in as_json.stderr
    assert b"Traceback" not in as_json.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_odd_names_and_a_plain_locale(cli: "Cli", tree: Path) -> None:
    """Names with markup, line breaks or no encoding are shown, on a terminal that knows ASCII."""
    (tree / "[bold]x.txt").write_text("A text of its own. And one more.")
    (tree / "[red]empty.txt").write_text("")
    (tree / "two\nlines.txt").write_text("")
    Path(os.fsdecode(bytes(tree) + b"/caf\xe9.txt")).write_text("It cannot be named.")
    done = cli.run(
        "run", cli.digest, tree, env={"PYTHONIOENCODING": "ascii:backslashreplace", "LC_ALL": "C"}
    )
    assert done.returncode == 1, done.stderr
    said = done.stderr.decode("ascii")
    assert "[red]empty.txt: the file is empty" in said
    assert "caf\\xe9.txt: the name is not UTF-8; rename it" in said
    assert "### `" in done.stdout.decode("utf-8")
    assert "[bold]x.txt" in done.stdout.decode("utf-8")


def test_many_failures_are_not_many_lines(cli: "Cli") -> None:
    """Twenty are listed, each once; of the others the number is said."""
    flow = cli.flow()
    text = flow.read_text().replace("held:one", "held:fails")
    flow.write_text(text.replace('after = "names"', 'after = "names"\non_error = "continue"'))
    done = cli.run("run", flow, "--input", " ".join(f"x{number}" for number in range(50)))
    assert done.returncode == 1
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("one[")]
    assert len(lines) == len(set(lines)) == 20
    assert lines[0] == "one[0]: x0: KeyError: 'x0'"
    assert b"... and 30 more that failed" in done.stderr
