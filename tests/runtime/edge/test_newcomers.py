"""What happens to those who type something else than what was meant, or run it in odd places."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli

STREAMS = {
    "stdin": "import os, sys; os.close(0); os.execv(sys.argv[1], sys.argv[1:])",
    "stdout": "import os, sys; os.close(1); os.execv(sys.argv[1], sys.argv[1:])",
    "stderr": "import os, sys; os.close(2); os.execv(sys.argv[1], sys.argv[1:])",
}
"""Starts a command without one of the standard streams, as `>&-` of a shell does."""


def without(cli: "Cli", stream: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command that was started without one of its streams."""
    return subprocess.run(
        [sys.executable, "-c", STREAMS[stream], *cli.command(*arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, cwd=cli.folder, env=cli.environment(),
        timeout=60, check=False,
    )  # fmt: skip


COMMANDS = [
    ["--version"],
    ["--help"],
    ["run", "{digest}", "--input", "A text. And more."],
    ["check", "{digest}"],
    ["check", "--schema"],
    ["graph", "{digest}"],
    ["doctor", "--json"],
    ["loadtest", "--agents", "1", "--requests", "1"],
]


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed by their numbers")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_closed_standard_output_is_a_failure_in_one_line(
    cli: "Cli", arguments: list[str]
) -> None:
    """And nothing that is opened later takes its place."""
    done = without(cli, "stdout", *(each.format(digest=cli.digest) for each in arguments))
    assert done.returncode == 1, done.stderr
    assert b"Bad file descriptor" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed by their numbers")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["run", "{digest}", "--input", "A text. And more."], 0), (["doctor", "nowhere"], 78)],
)
def test_a_closed_standard_error_changes_no_code(
    cli: "Cli", arguments: list[str], code: int
) -> None:
    """What would be said there goes nowhere; data and exit code are what they are."""
    done = without(cli, "stderr", *(each.format(digest=cli.digest) for each in arguments))
    assert done.returncode == code
    assert bool(done.stdout) == (code == 0)


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed by their numbers")
def test_a_closed_standard_input_is_a_mistake(cli: "Cli") -> None:
    """It is not the same as an empty one."""
    done = without(cli, "stdin", "run", cli.digest, "--input", "-")
    assert done.returncode == 2
    assert b"standard input cannot be read: " in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [*COMMANDS, ["bench", "--help"], ["loadtest", "--help"]], ids=" ".join
)
def test_a_reader_that_has_gone_leaves_no_traceback(cli: "Cli", arguments: list[str]) -> None:
    """`| head` of every command, also of its help."""
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        cli.command(*(each.format(digest=cli.digest) for each in arguments)),
        stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE, env=cli.environment(),
    )  # fmt: skip
    os.close(writing)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"Traceback" not in said
    assert b"Exception ignored" not in said


@pytest.mark.parametrize("command", ["run", "graph", "check", "doctor"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.toml", "nowhere.toml: cannot be read: no such file or directory; check the"),
        ("folder", "folder: cannot be read: is a directory; name a file in it"),
        ("binary.toml", "binary.toml: 1 problem\n  line 1: not UTF-8; save the file as UTF-8"),
        ("text.toml", "text.toml: 1 problem\n  line 1: not TOML: "),
    ],
)
def test_files_that_are_none(
    cli: "Cli", tmp_path: Path, command: str, name: str, said: str
) -> None:
    """The same words whatever was to be done with them, and exit code 78."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "text.toml").write_text("Once upon a time\n")
    done = cli.run(command, name)
    assert (done.returncode, done.stdout) == (78, b"")
    assert done.stderr.decode().startswith(f"understudy: {said}")


@pytest.mark.parametrize("command", ["run", "graph"])
def test_a_document_where_the_flow_belongs(cli: "Cli", tmp_path: Path, command: str) -> None:
    """Who writes them the wrong way round is told the order."""
    (tmp_path / "notes.md").write_text("# Notes\n\nSome notes.\n")
    done = cli.run(command, "notes.md")
    assert done.returncode == 78
    assert b"FLOW comes first: a TOML file with workflows" in done.stderr


@pytest.mark.parametrize("command", ["run", "graph"])
def test_a_file_without_a_workflow(cli: "Cli", tmp_path: Path, command: str) -> None:
    """What is to be written is said."""
    (tmp_path / "bare.toml").write_text("[llm]\nmax_tokens = 5\n")
    done = cli.run(command, "bare.toml")
    assert (done.returncode, done.stdout) == (78, b"")
    assert b"bare.toml: there is no workflow in it; write [workflows.NAME]" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "Did you mean 'run'?"),
        (["run"], "Missing argument 'FLOW'"),
        (["provider-server", "--port", "99999"], "0<=x<=65535"),
        (["loadtest", "extra"], "unexpected extra argument (extra)"),
    ],
)
def test_usage_is_said_in_one_line(cli: "Cli", arguments: list[str], said: str) -> None:
    """With where help is, and exit code 2."""
    done = cli.run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
    assert "--help' for help." in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_no_arguments_are_a_question_for_help(cli: "Cli") -> None:
    """It is answered, as a mistake: a script that forgot them is not to go on."""
    done = cli.run()
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Examples:" in done.stderr


def test_a_narrow_terminal_hides_no_number(cli: "Cli", tree: Path) -> None:
    """Lines of the report run over; nothing becomes an ellipsis."""
    done = cli.run("run", cli.digest, tree, env={"COLUMNS": "20"})
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stderr.decode()
    assert "completed" in done.stderr.decode().partition("┏")[2]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_is_told_how_to_end_its_input(cli: "Cli") -> None:
    """Who forgot the pipe sees why nothing happens."""
    leader, follower = os.openpty()
    process = subprocess.Popen(
        cli.command("run", cli.digest, "--input", "-"), stdin=follower,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=cli.environment(),
    )  # fmt: skip
    cli.watch(process)
    os.close(follower)
    os.write(leader, b"One sentence is here. Another too.\n\x04")
    out, said = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 0, said
    assert said.startswith(b"understudy: reading from the terminal; Ctrl-D ends it\n")
    assert b"One sentence is here." in out


@pytest.mark.parametrize(
    "arguments", [["doctor"], ["loadtest", "--agents", "1", "--requests", "1"]]
)
def test_colours_are_for_terminals_that_want_them(cli: "Cli", arguments: list[str]) -> None:
    """None in a pipe; FORCE_COLOR asks for them, NO_COLOR wins."""
    plain = cli.run(*arguments, env={"NO_COLOR": ""})
    assert b"\x1b" not in plain.stdout + plain.stderr
    forced = cli.run(*arguments, env={"NO_COLOR": "", "FORCE_COLOR": "1", "TERM": "xterm"})
    assert b"\x1b[" in forced.stdout
    unwanted = cli.run(*arguments, env={"NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "xterm"})
    assert b"\x1b[3" not in unwanted.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "{digest}", "--input", "A text. And more."],
        ["loadtest", "--agents", "1", "--requests", "1"],
    ],
    ids=" ".join,
)
def test_forced_colours_make_no_terminal(cli: "Cli", arguments: list[str]) -> None:
    """What moves is for terminals; a log gets plain lines, coloured or not."""
    done = cli.run(
        *(each.format(digest=cli.digest) for each in arguments),
        env={"NO_COLOR": "", "FORCE_COLOR": "1", "TERM": "xterm"},
    )
    assert done.returncode == 0
    assert b"\x1b[?25l" not in done.stderr, "no cursor is hidden where there is none"
