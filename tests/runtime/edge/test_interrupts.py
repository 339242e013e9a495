"""Ctrl-C and SIGTERM: what is finished is kept, what is not is said, nothing holds the process."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from understudy.messages.codec import decode_json
from understudy.messages.workflows import WorkflowResult
from understudy.testing import ProviderServer
from understudy.testing.provider_server.faults import Blackhole

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli

SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes standard input the terminal of the session, so that its signals go to the process."""


def wait_for(process: subprocess.Popen[bytes], words: bytes) -> bytes:
    """Read standard error up to the line with these words."""
    assert process.stderr is not None
    read = b""
    for line in process.stderr:
        read += line
        if words in line:
            return read
    raise AssertionError(read.decode())


@SIGNALS
def test_a_signal_keeps_what_is_finished(cli: "Cli", tree: Path, number: int, code: int) -> None:
    """The digest of the finished documents is printed, the unfinished ones are named."""
    last = tree / "sub" / "c.txt"
    last.write_text("Never answered. Not this one.")
    with ProviderServer(["Quick.", "Quick.", Blackhole()]) as server:
        process = cli.start(
            "run", cli.digest, tree, "--model", "openai-compatible:any",
            env={"UNDERSTUDY_LLM__BASE_URL": server.base_url},
        )  # fmt: skip
        server.until(lambda it: len(it.requests) == 3, timeout=30)
        process.send_signal(number)
        page, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert b"interrupted; not finished: document (" in said
    assert str(tree).encode() in said.partition(b"not finished")[2]
    assert said.rstrip().endswith(b"; write")
    assert page.startswith(b"# Digest")
    assert b"the run ended before it was done" in page


@SIGNALS
def test_a_step_that_never_returns_holds_nobody(cli: "Cli", number: int, code: int) -> None:
    """A thread that cannot be interrupted is left behind; the last step prints what there is."""
    flow = cli.flow()
    process = cli.start("run", flow, "--input", "a b stuck c")
    wait_for(process, b"one: ")
    assert process.stderr is not None
    process.send_signal(number)
    out, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert out.startswith(b"kept [")
    assert b"stuck" in said.partition(b"not finished: one (")[2]


def test_json_of_an_interrupted_run_is_a_result_too(cli: "Cli") -> None:
    """One object, with what was cancelled and what was never begun."""
    process = cli.start("run", cli.flow(), "--input", "stuck stuck c", "--json")
    wait_for(process, b"one: ")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    result = decode_json(out, WorkflowResult, max_size=1 << 20)
    assert result.status == "cancelled"
    assert (result.steps["one[0]"].status, result.steps["one[0]"].label) == ("cancelled", "stuck")
    assert (result.steps["one[2]"].status, result.steps["one[2]"].label) == ("skipped", "c")
    assert result.steps["write"].status == "skipped"


def test_a_second_signal_ends_the_process(cli: "Cli") -> None:
    """Also while the last step makes something of what there is, and takes its time."""
    flow = cli.flow()
    flow.write_text(flow.read_text().replace("held:write", "held:slow_write"))
    process = cli.start("run", flow, "--input", "stuck")
    wait_for(process, b"one: ")
    process.send_signal(signal.SIGINT)
    wait_for(process, b"writing")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_shows_a_live_table_and_takes_control_c(cli: "Cli") -> None:
    """Items are called by their names, in one row a step; Ctrl-C on the terminal ends the run."""
    flow = cli.flow()
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *cli.command("run", flow, "--input", "stuck a")],
        stdin=follower, stdout=subprocess.PIPE, stderr=follower, start_new_session=True,
        cwd=cli.folder, env=cli.environment({"TERM": "xterm", "LINES": "40"}),
    )  # fmt: skip
    cli.watch(process)
    os.close(follower)
    seen = b""
    while "│ stuck".encode() not in seen:
        seen += (chunk := _read(leader))
        assert chunk, seen
    assert b"\x1b[?25l" in seen, "the table is live"
    assert b"\x1b[3" not in seen, "NO_COLOR is set"
    os.write(leader, b"\x03")
    while chunk := _read(leader):
        seen += chunk
    os.close(leader)
    assert process.stdout is not None
    out = process.stdout.read()
    assert process.wait() == 130, seen
    assert out.startswith(b"kept [None")
    assert b"interrupted; not finished: one (" in seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux's word for the end of a terminal
        return b""
