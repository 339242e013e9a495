"""`rt.serve()` in processes of their own: signals, the service manager's socket, exit codes."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy import Agent, ConfigError, Runtime, WouldDeadlockError
from understudy.testing import FakeModel

HEAD = """
import asyncio, logging, sys, threading
from understudy import Actor, Agent, Runtime, child
from understudy.testing import FakeModel

logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
logging.getLogger("understudy").setLevel("INFO")

def say(text):
    print(text, flush=True)
"""
SERVE = """
rt = Runtime.from_toml(sys.argv[1], name="d")
report = rt.serve()
say(f"balanced {report.ledger.balanced}")
sys.exit(report.exit_code)
"""


class Manager:
    """A service manager: its socket, and the process that it has started."""

    def __init__(self, folder: Path) -> None:
        self._address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._address)
        self._socket.settimeout(30)
        self._folder = folder
        self.config = folder / "d.toml"
        self.config.write_text("")
        self.process: subprocess.Popen[str] | None = None

    def start(self, script: str, **environ: str) -> "subprocess.Popen[str]":
        """Run `script` under the manager."""
        file = self._folder / "script.py"
        file.write_text(HEAD + textwrap.dedent(script))
        self.process = subprocess.Popen(
            [sys.executable, str(file), str(self.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NOTIFY_SOCKET": self._address, **environ},
        )
        return self.process

    def expect(self, word: str) -> dict[str, str]:
        """The next message with this variable, as variables; signs of life are skipped."""
        while True:
            text = self._socket.recv(4096).decode()
            found = dict(line.split("=", 1) for line in text.split("\n"))
            if word in found:
                return found
            assert "WATCHDOG" in found, f"{text!r} came before {word}"

    def close(self) -> None:
        """End all of it."""
        self._socket.close()
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A fake service manager."""
    found = Manager(tmp_path)
    yield found
    found.close()


def line(process: "subprocess.Popen[str]", word: str) -> str:
    """The next line of standard output, which has to begin with `word`."""
    assert process.stdout is not None
    found = process.stdout.readline().strip()
    assert found.startswith(word), process.stderr.read() if process.stderr else ""
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(manager: Manager, number: signal.Signals) -> None:
    """Ready, stopping, exit 0; a run under way is finished first."""
    process = manager.start(
        """
        begun, go = threading.Event(), threading.Event()
        async def answer(messages):
            begun.set()
            await asyncio.to_thread(go.wait)
            return "finished"
        rt = Runtime(name="d")
        with rt:
            run = rt.submit(Agent(FakeModel(answer)), "x")
            begun.wait()
            rt.when_stopping(lambda *_: go.set())
            report = rt.serve()
        say(run.get().output)
        say(f"drained {report.drained} cancelled {report.cancelled} {report.ledger.balanced}")
        sys.exit(report.exit_code)
        """
    )
    assert manager.expect("READY") == {"READY": "1", "STATUS": "d serves"}
    process.send_signal(number)
    stopping = manager.expect("STOPPING")
    assert stopping["STATUS"] == "draining for up to 25 s"
    assert stopping["EXTEND_TIMEOUT_USEC"] == "26000000"
    out, said = process.communicate(timeout=30)
    assert out == "finished\ndrained 1 cancelled 0 True\n", said
    assert process.returncode == 0
    assert f"INFO understudy.serve {number.name}: draining" in said
    assert "d has ended: 1 runs drained, 0 cancelled, 0 abandoned" in said


def test_a_second_signal_cancels(manager: Manager) -> None:
    """What would have drained for ever is cancelled, and the exit code says by which signal."""
    process = manager.start(
        """
        async def never(messages):
            say("begun")
            await asyncio.Event().wait()
        with Runtime(name="d", shutdown=1000.0) as rt:
            run = rt.submit(Agent(FakeModel(never)), "x")
            report = rt.serve()
        say(f"cancelled {report.cancelled} {report.ledger.balanced} {run.status}")
        sys.exit(report.exit_code)
        """
    )
    manager.expect("READY")
    line(process, "begun")
    process.send_signal(signal.SIGTERM)
    manager.expect("STOPPING")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=30)
    assert out == "cancelled 1 True cancelled\n", said
    assert process.returncode == 128 + signal.SIGINT
    assert "SIGINT once more: cancelling what is left" in said


def test_a_second_signal_is_heard_while_the_loop_stands_still(manager: Manager) -> None:
    """A handler that blocks the loop keeps nobody from ending the process."""
    process = manager.start(
        """
        class Blocks(Actor):
            async def on_receive(self, message):
                say("blocked")
                threading.Event().wait()
        rt = Runtime(name="d", shutdown=1000.0)
        rt.start()
        rt.spawn(Blocks).tell("x")
        def killed():
            while rt._shutdown is None or rt._shutdown._drain:
                threading.Event().wait(0.01)
            say("heard")
            import os
            os._exit(3)
        threading.Thread(target=killed, daemon=True).start()
        rt.serve()
        """
    )
    line(process, "blocked")
    manager.expect("READY")
    process.send_signal(signal.SIGTERM)
    manager.expect("STOPPING")
    process.send_signal(signal.SIGTERM)
    line(process, "heard")
    assert process.wait(timeout=30) == 3


def test_sighup_reloads_what_can_change_and_names_the_rest(manager: Manager) -> None:
    """Told as RELOADING and READY; the log says what is in force and what needs a restart."""
    manager.config.write_text("[runtime]\nthreads = 4")
    process = manager.start(SERVE)
    manager.expect("READY")
    manager.config.write_text('[runtime]\nthreads = 9\n[llm]\ntransport = "plain"')
    process.send_signal(signal.SIGHUP)
    assert int(manager.expect("RELOADING")["MONOTONIC_USEC"]) > 0
    status = manager.expect("READY")["STATUS"]
    assert status == "reloaded: applied: runtime.threads; needs a restart: llm.transport"
    manager.config.write_text("[runtime]\nthreds = 5\nworkers = 7")
    process.send_signal(signal.SIGHUP)
    manager.expect("RELOADING")
    assert manager.expect("READY")["STATUS"] == "not reloaded: the configuration is wrong"
    process.terminate()
    out, said = process.communicate(timeout=30)
    assert (out, process.returncode) == ("balanced True\n", 0), said
    assert "line 2: runtime.threds: unknown key 'threds'; did you mean 'threads'?" in said


def test_no_reload_while_it_drains(manager: Manager) -> None:
    """After STOPPING the manager hears nothing that would take it back."""
    process = manager.start(
        """
        async def never(messages):
            say("begun")
            await asyncio.Event().wait()
        with Runtime.from_toml(sys.argv[1], name="d", shutdown=1000.0) as rt:
            rt.submit(Agent(FakeModel(never)), "x")
            sys.exit(rt.serve().exit_code)
        """
    )
    manager.expect("READY")
    line(process, "begun")
    process.send_signal(signal.SIGTERM)
    manager.expect("STOPPING")
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    while "SIGHUP while draining" not in (said := process.stderr.readline()):
        assert said
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM


def test_the_watchdog_is_fed(manager: Manager) -> None:
    """Signs of life come for as long as it serves."""
    process = manager.start(SERVE, WATCHDOG_USEC="40000", WATCHDOG_PID="")
    manager.expect("READY")
    for _ in range(3):
        assert manager.expect("WATCHDOG") == {"WATCHDOG": "1"}
    process.terminate()
    assert process.wait(timeout=30) == 0


def test_no_signs_of_life_for_another_process(manager: Manager) -> None:
    """WATCHDOG_PID of somebody else: the watchdog is not ours to feed."""
    process = manager.start(SERVE, WATCHDOG_USEC="1000", WATCHDOG_PID="1")
    manager.expect("READY")
    process.terminate()
    assert "WATCHDOG" not in manager.expect("STOPPING")
    assert process.wait(timeout=30) == 0


def test_on_a_loop_of_the_program(manager: Manager) -> None:
    """`await rt.aserve()` is the same for a hosted runtime, and gives the handlers back."""
    process = manager.start(
        """
        import signal
        async def main():
            before = signal.getsignal(signal.SIGTERM)
            async with Runtime(name="d") as rt:
                report = await rt.aserve()
            say(f"same {signal.getsignal(signal.SIGTERM) == before}")
            return report.exit_code
        sys.exit(asyncio.run(main()))
        """
    )
    manager.expect("READY")
    process.terminate()
    manager.expect("STOPPING")
    out, said = process.communicate(timeout=30)
    assert (out, process.returncode) == ("same True\n", 0), said


def test_without_a_manager_it_serves_as_well(manager: Manager) -> None:
    """No NOTIFY_SOCKET, or one that is not there: nothing but a line in the log."""
    process = manager.start(
        """
        import os
        rt = Runtime(name="d")
        with rt:
            threading.Timer(0, lambda: rt.begin_stop()).start()
            say(rt.serve().exit_code)
        """,
        NOTIFY_SOCKET="/nowhere/at/all",
    )
    out, said = process.communicate(timeout=30)
    assert (out, process.returncode) == ("0\n", 0), said
    assert said.count("the service manager cannot be told") == 1


def test_only_the_main_thread_can_take_signals() -> None:
    """Elsewhere it is a clear error, and nothing was started."""
    caught: list[BaseException] = []

    def serve() -> None:
        try:
            Runtime().serve()
        except ConfigError as error:
            caught.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    (error,) = caught
    assert "only the main thread" in str(error)


@pytest.mark.anyio
async def test_cancelling_the_task_that_serves_drains() -> None:
    """What is under way is finished, then the cancel goes on."""
    go, begun = asyncio.Event(), asyncio.Event()

    async def answer(messages: object) -> str:
        begun.set()
        await go.wait()
        return "finished"

    async with Runtime() as rt:
        run = rt.submit(Agent(FakeModel(answer)), "x")
        await begun.wait()
        serving = asyncio.ensure_future(rt.aserve())
        rt.when_stopping(lambda *_: go.set())
        await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert (await run).output == "finished"
        assert rt.health().stopping


@pytest.mark.anyio
async def test_serve_on_the_loop_names_its_twin() -> None:
    """A hosted runtime cannot block the loop that it lives on."""
    async with Runtime() as rt:
        with pytest.raises(WouldDeadlockError, match="aserve"):
            rt.serve()


def test_a_runtime_that_has_stopped_is_served_no_more() -> None:
    """Nothing to wait for: the report is there at once."""
    with Runtime() as rt:
        report = rt.stop()
        assert rt.serve() == report


def test_it_ends_when_somebody_else_stops_the_runtime() -> None:
    """`rt.stop()` on another thread ends `serve()`, and both get the same ledger."""
    before = signal.getsignal(signal.SIGTERM)
    rt = Runtime()
    with rt:
        thread = threading.Thread(target=rt.stop)
        rt.events.after_queued(lambda _: thread.start())
        report = rt.serve()
        thread.join()
    assert report.ledger.balanced
    assert report.signal is None
    assert signal.getsignal(signal.SIGTERM) == before
