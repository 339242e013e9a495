"""`demos/daemon.py` as a process of its own: stopped, killed and started again in the middle."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Gate

from understudy.testing import ProviderServer
from understudy.testing.provider_server.faults import Blackhole

ROOT = Path(__file__).parents[2]
PATIENCE = 60
COUNT = 24


class Daemon:
    """A spool, and the processes that work on it, one after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = ""
        self._process: subprocess.Popen[str] | None = None
        self._timer: threading.Timer | None = None
        (root / "incoming").mkdir(parents=True)

    def put(self, name: str, text: str) -> None:
        """As documents should be put: written beside, renamed in."""
        beside = self.root / name
        beside.write_text(text)
        beside.rename(self.root / "incoming" / name)

    def start(self, **environ: str) -> "subprocess.Popen[str]":
        """A new process, which serves when this returns."""
        self._process = process = subprocess.Popen(
            [sys.executable, str(ROOT / "demos" / "daemon.py"), str(self.root)],
            stderr=subprocess.PIPE, text=True, env={**os.environ, **environ},
        )  # fmt: skip
        self._timer = threading.Timer(PATIENCE, process.kill)
        self._timer.start()
        self.until(" serves as process ")
        return process

    def until(self, words: str, count: int = 1) -> None:
        """Read the log until so many lines had these words."""
        assert self._process is not None
        assert self._process.stderr is not None
        while count:
            line = self._process.stderr.readline()
            assert line, f"it ended before it said {words!r}:\n{self.log}"
            self.log += line
            count -= words in line

    def end(self, number: int | None = None) -> int:
        """Send a signal, wait for the end; the exit code."""
        assert self._process is not None
        assert self._process.stderr is not None
        if number is not None:
            self._process.send_signal(number)
        if not self._process.stderr.closed:
            _, rest = self._process.communicate()
            self.log += rest
        if self._timer is not None:
            self._timer.cancel()
        return self._process.returncode

    def names(self, folder: str) -> list[str]:
        """What is in a folder."""
        names = (path.name for path in (self.root / folder).iterdir())
        return sorted(name for name in names if not name.startswith("."))

    @property
    def results(self) -> list[dict[str, Any]]:
        """What is done, by name."""
        return [json.loads((self.root / "done" / it).read_text()) for it in self.names("done")]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A spool with documents; whatever process is left is killed."""
    made = Daemon(tmp_path / "spool")
    yield made
    if made._process is not None:
        made.end(signal.SIGKILL)


def provider(server: ProviderServer) -> dict[str, str]:
    """The environment that has the daemon ask `server`."""
    return {
        "UNDERSTUDY_LLM__MODEL": "openai-compatible:m",
        "UNDERSTUDY_LLM__BASE_URL": server.base_url,
    }


def test_what_was_in_work_at_a_kill_is_digested_again(daemon: Daemon) -> None:
    """Kill -9 with four in work: each document has one result, and those four say so."""
    for number in range(8):
        daemon.put(f"d{number}", f"document {number}")
    with ProviderServer(["fine"] * 2 + [Blackhole()] * 4 + ["fine"] * 20) as server:
        daemon.start(**provider(server))
        daemon.until(" digested", 2)
        server.until(lambda it: len(it.requests) == 6, timeout=30)
        assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
        assert len(daemon.names("working")) == 4
        assert len(daemon.names("done")) == 2
        daemon.start(**provider(server))
        daemon.until(" digested", 6)
        assert daemon.end(signal.SIGTERM) == 0
    assert [result["document"] for result in daemon.results] == [f"d{n}" for n in range(8)]
    again = [result for result in daemon.results if result["again"]]
    assert [result["attempt"] for result in again] == [2] * 4
    assert daemon.log.count("was in work at a kill: attempt 2") == 4
    assert daemon.names("incoming") == daemon.names("working") == daemon.names("failed") == []


def test_killed_wherever_it_is(daemon: Daemon) -> None:
    """Killed after some results, again and again: all are there once, none by half."""
    for number in range(COUNT):
        daemon.put(f"d{number:02}", f"Sentence {number}. And another one about actors.")
    for _ in range(2):  # a third time in work at a kill, and it may be what kills
        daemon.start()
        daemon.until(" digested", 3)
        daemon.end(signal.SIGKILL)
    daemon.start()
    while daemon.names("incoming") or daemon.names("working"):
        daemon.until(" digested")
    assert daemon.end(signal.SIGTERM) == 0
    results = daemon.results
    assert [result["document"] for result in results] == [f"d{n:02}" for n in range(COUNT)]
    assert all("digest" in result for result in results)
    assert daemon.names("failed") == []


def test_a_stop_finishes_what_is_in_work_and_leaves_the_rest(daemon: Daemon, gate: Gate) -> None:
    """SIGTERM with four in work: they are finished, the others are not begun, nothing is again."""
    for number in range(6):
        daemon.put(f"d{number}", f"document {number}")
    with ProviderServer(gate) as server:
        process = daemon.start(**provider(server))
        gate.until(waiting=4)
        process.send_signal(signal.SIGTERM)
        daemon.until("SIGTERM: draining")
        gate.open(count=4)
        assert daemon.end() == 0
        assert len(daemon.names("done")) == 4
        assert len(daemon.names("incoming")) == 2
        assert daemon.names("working") == []
        daemon.start(**provider(server))
        gate.until(waiting=2)
        gate.open(count=2)
        daemon.until(" digested", 2)
        assert daemon.end(signal.SIGTERM) == 0
    assert len(daemon.results) == 6
    assert not [result for result in daemon.results if result["again"]]


def test_failures_have_their_reason(daemon: Daemon) -> None:
    """What cannot be read or digested lies in failed/, and holds up nobody."""
    daemon.put("good", "A sentence. And another one.")
    (daemon.root / "incoming" / "bad").write_bytes(b"\xff\xfe")
    daemon.start()
    while not (daemon.names("done") and len(daemon.names("failed")) == 2):
        daemon.until('"logger":"daemon"')
    assert "bad failed: UnicodeDecodeError" in daemon.log
    daemon.end(signal.SIGTERM)
    assert [result["document"] for result in daemon.results] == ["good"]
    document, reason = daemon.names("failed")
    assert reason == f"{document}.reason"
    text = (daemon.root / "failed" / reason).read_text()
    assert text.startswith("attempt 1: UnicodeDecodeError: ")


def test_a_change_of_the_configuration_is_for_the_next_documents(
    daemon: Daemon, tmp_path: Path
) -> None:
    """SIGHUP: another model from the next document on; a wrong file changes nothing."""
    config = tmp_path / "d.toml"
    text = (ROOT / "demos" / "daemon.toml").read_text()
    config.write_text(text)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "demos" / "daemon.py"), str(daemon.root), str(config)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    daemon._process = process
    daemon.put("one", "First sentence. Second one.")
    daemon.until(" digested")
    config.write_text("[runtime]\nnope = 1")
    process.send_signal(signal.SIGHUP)
    daemon.until("nothing was reloaded")
    with ProviderServer(["from the other model"]) as server:
        other = f'model = "openai-compatible:m"\nbase_url = "{server.base_url}"'
        config.write_text(text.replace('model = "local:extractive"', other))
        process.send_signal(signal.SIGHUP)
        daemon.until("reloaded: applied: llm.base_url, llm.model")
        daemon.put("two", "First sentence. Second one.")
        daemon.until(" digested")
        assert daemon.end(signal.SIGTERM) == 0
    assert [result["model"] for result in daemon.results] == ["extractive", "m"]


def test_two_on_one_spool(daemon: Daemon) -> None:
    """The second says so and ends."""
    daemon.start()
    second = subprocess.run(
        [sys.executable, str(ROOT / "demos" / "daemon.py"), str(daemon.root)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert second.returncode == 78
    assert "daemon: " in second.stderr
    assert "another process works on this spool" in second.stderr
