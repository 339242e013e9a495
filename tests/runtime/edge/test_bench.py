"""`understudy bench`, as a process of its own."""

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from understudy.messages.codec import decode_json
from understudy.runtime.edge.bench.memory import KINDS
from understudy.runtime.edge.cli.bench import BenchReport

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli


def test_it_prints_what_things_cost_beside_their_floors(cli: "Cli") -> None:
    """On stdout, a line each, also on a narrow terminal; what is measured is said on stderr."""
    done = cli.run("bench", "--divisor", "1000", env={"COLUMNS": "40"})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert max(map(len, lines)) <= 80
    for name in (
        "a request",
        "an agent run",
        "a stream's chunk",
        "3 steps in turn",
        "a pool's job",
    ):
        assert len([line for line in lines if line.startswith(name + " ")]) == 1, name
        assert f"measuring: {name}\n" in done.stderr.decode()


def test_memory_as_json(cli: "Cli") -> None:
    """One report and nothing else on stdout; a run is heavier than its agent, by both weights."""
    done = cli.run("bench", "--memory", "--json", "--divisor", "20")
    assert done.returncode == 0, done.stderr
    report = decode_json(done.stdout, BenchReport, max_size=1 << 20)
    assert [each.kind for each in report.memory] == list(KINDS)
    assert report.speed == ()
    assert report.cpus >= 1
    weights = {each.kind: each for each in report.memory}
    run, agent = weights["a run under way"], weights["an Agent"]
    assert run.count == KINDS["a run under way"] // 20
    assert run.traced is not None
    assert agent.traced is not None
    assert run.traced > agent.traced > 0
    assert (run.resident is None) == (sys.platform != "linux")


@pytest.mark.parametrize(
    ("number", "code", "option"),
    [(signal.SIGINT, 130, ()), (signal.SIGTERM, 143, ("--memory",))],
)
def test_a_signal_ends_it(cli: "Cli", number: int, code: int, option: tuple[str, ...]) -> None:
    """At once, without a traceback and without half a table."""
    process = cli.start("bench", *option)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"measuring: ")
    process.send_signal(number)
    out, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert out == b""
    assert b"Traceback" not in said
