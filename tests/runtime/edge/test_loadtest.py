"""`understudy loadtest`, as a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from understudy.messages.codec import decode_json
from understudy.runtime.edge.load.tally import LoadReport
from understudy.testing import ProviderServer
from understudy.testing.provider_server.faults import Blackhole, Status

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli


def report_of(data: bytes) -> LoadReport:
    """The report of `--json`."""
    return decode_json(data, LoadReport, max_size=1 << 20)


def test_it_is_offline_by_default(cli: "Cli") -> None:
    """Counts and percentiles on stdout, what is asked on stderr, exit code 0."""
    done = cli.run("loadtest", "--agents", "20", "--requests", "5")
    assert done.returncode == 0, done.stderr
    page = done.stdout.decode()
    assert page.startswith("closed loop: 20 agents, 5 requests each; model in-process\n")
    assert " answered 100 failed 0 " in " ".join(page.split())
    for heading in ("p50", "p95", "p99", "max", "up to", "--rate"):
        assert heading in page
    assert done.stderr == b"asking in-process: 20 agents, 5 requests each\n"


def test_json_is_one_report(cli: "Cli") -> None:
    """And nothing else on stdout."""
    done = cli.run("loadtest", "--rate", "200", "--duration", "0.5", "--latency", "0.01", "--json")
    assert done.returncode == 0, done.stderr
    report = report_of(done.stdout)
    assert (report.loop, report.rate, report.finished) == ("open", 200.0, True)
    assert report.answered == 100
    assert report.latency.least >= 0.009
    assert report.latency.p50 <= report.latency.p95 <= report.latency.p99 <= report.latency.most


def test_times_are_finer_than_milliseconds(cli: "Cli") -> None:
    """No answer takes no time, whatever the loop's own clock can tell apart."""
    report = report_of(cli.run("loadtest", "--agents", "1", "--requests", "50", "--json").stdout)
    assert report.latency.least > 0
    assert any(part.above * 1e3 % 1 for part in report.histogram)


def test_a_server_is_asked(cli: "Cli") -> None:
    """Over HTTP, with its usage; failures are counted by kind, not retried, and exit code 1."""
    faults = [None, None, Status(status=500), None]
    with ProviderServer("fine", faults=faults) as server:
        done = cli.run(
            "loadtest", "--agents", "1", "--requests", "4", "--json",
            "--model", "openai-compatible:any", "--base-url", server.base_url,
            "--prompt", "How?", "--max-tokens", "7",
        )  # fmt: skip
        assert len(server.requests) == 4
    assert done.returncode == 1, done.stderr
    report = report_of(done.stdout)
    assert (report.answered, report.failed) == (3, 1)
    assert report.errors == {"ServerError 500": 1}
    assert report.usage.measured


def test_retries_are_made_when_they_are_asked_for(cli: "Cli") -> None:
    """`--retries 2` is what an agent does by default."""
    with ProviderServer("fine", faults=[Status(status=500), None]) as server:
        done = cli.run(
            "loadtest", "--agents", "1", "--requests", "1", "--retries", "2",
            "--model", "openai-compatible:any", "--base-url", server.base_url,
        )  # fmt: skip
        assert len(server.requests) == 2
    assert done.returncode == 0, done.stdout


def test_an_answer_that_does_not_come_is_a_failure(cli: "Cli") -> None:
    """After `--timeout` seconds, and it has its kind."""
    with ProviderServer("fine", faults=[Blackhole()]) as server:
        done = cli.run(
            "loadtest", "--agents", "1", "--requests", "1", "--timeout", "0.2",
            "--model", "openai-compatible:any", "--base-url", server.base_url,
        )  # fmt: skip
    assert done.returncode == 1
    line = next(x for x in done.stdout.decode().splitlines() if "DeadlineExceededError" in x)
    assert line.split()[1] == "1", line
    assert len(line.split()) > 3, "what it said stands beside it"
    assert b"latency" not in done.stdout, "nothing was answered"


def test_a_configuration_counts(cli: "Cli", tmp_path: Path) -> None:
    """`--config` limits what is asked, as it does in a daemon."""
    file = tmp_path / "understudy.toml"
    file.write_text('[limits."openai-compatible:*"]\nmax_concurrent = 1\n')
    with ProviderServer("fine", latency=0.05) as server:
        done = cli.run(
            "loadtest", "--agents", "4", "--requests", "2", "--config", file,
            "--model", "openai-compatible:any", "--base-url", server.base_url,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert server.connections.peak == 1


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_prints_what_there_is(
    cli: "Cli", number: int, code: int, *, as_json: bool
) -> None:
    """At once, although a request will never be answered."""
    with ProviderServer("fine", faults=[None, None, Blackhole()]) as server:
        process = cli.start(
            "loadtest", "--agents", "1", "--requests", "9", *(["--json"] if as_json else []),
            "--model", "openai-compatible:any", "--base-url", server.base_url,
        )  # fmt: skip
        server.until(lambda it: len(it.requests) == 3, timeout=30)
        process.send_signal(number)
        out, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    if as_json:
        report = report_of(out)
        assert (report.answered, report.unanswered, report.finished) == (2, 1, False)
    else:
        assert b"\ninterrupted: this is what there is\n" in out
        assert " unanswered at the end 1 " in " ".join(out.decode().split())
    assert b"Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "opnai:x"], 78, "did you mean 'openai'"),
        (["--model", "openai:x"], 78, "OPENAI_API_KEY"),
        (["--model", "x"], 78, "provider:model"),
        (["--model", "openai-compatible:x"], 78, "base_url"),
        (["--config", "nowhere.toml"], 78, "nowhere.toml: cannot be read"),
        (["--config", "."], 78, "directory"),
        (["--rate", "1e9", "--duration", "100"], 78, "at most 10,000,000"),
        (["--agents", "0"], 2, "'0' is not a whole number above 0"),
        (["--agents", "many"], 2, "'many' is not a whole number above 0"),
        (["--rate", "nan"], 2, "'nan' is not a number above 0"),
        (["--latency", "1", "--model", "openai:x"], 2, "leave out --latency or --model"),
        (["--base-url", "http://x"], 2, "--base-url is of a provider: name one with --model"),
    ],
)
def test_mistakes_are_named_before_anything_is_asked(
    cli: "Cli", arguments: list[str], code: int, words: str
) -> None:
    """One clear line, and the code of their kind."""
    done = cli.run("loadtest", *arguments, env={"OPENAI_API_KEY": ""})
    assert done.returncode == code, done.stderr
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_a_reader_that_has_gone_is_a_failure_in_one_line(cli: "Cli") -> None:
    """`| head` ends in no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        cli.command("loadtest", "--agents", "1", "--requests", "1"),
        stdout=writing, stderr=subprocess.PIPE, env=cli.environment(),
    )  # fmt: skip
    os.close(writing)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"standard output cannot be written: Broken pipe" in said
    assert b"Traceback" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_shows_how_far_it_is(cli: "Cli") -> None:
    """A line that moves, without colours where NO_COLOR is set."""
    leader, follower = os.openpty()
    process = subprocess.Popen(
        cli.command("loadtest", "--agents", "2", "--requests", "5", "--latency", "0.1"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=follower,
        env=cli.environment({"TERM": "xterm", "LINES": "40"}),
    )  # fmt: skip
    cli.watch(process)
    os.close(follower)
    seen = b""
    while chunk := _read(leader):
        seen += chunk
    os.close(leader)
    assert process.wait() == 0
    assert b" of 10, " in seen
    assert b"\x1b[3" not in seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux's word for the end of a terminal
        return b""
