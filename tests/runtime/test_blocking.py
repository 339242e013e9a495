"""A main thread that waits hears Ctrl-C, also when the signal did not wake it."""

import signal
import subprocess
import sys

import pytest

from understudy.runtime.edge.cli.signals import held_back

UNHEARD = """
import asyncio, signal, threading
from understudy import Runtime
from understudy.actors.kernel.reply import Reply

def elsewhere():
    # The signal comes on another thread: CPython notes it, and the main thread sleeps on.
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

async def for_ever():
    threading.Thread(target=elsewhere, daemon=True).start()
    await asyncio.Event().wait()

def reply(timeout):
    threading.Timer(0.1, elsewhere).start()
    Reply().get(timeout=timeout)

with Runtime() as rt:
    try:
        {wait}
    except KeyboardInterrupt:
        print("heard")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of threads are POSIX")
@pytest.mark.parametrize(
    "wait", ["reply(None)", "reply(100.0)", "rt.complete(for_ever(), 'for_ever')"]
)
def test_a_signal_that_wakes_nobody_is_heard(wait: str) -> None:
    """Every blocking call of a main thread looks for signals now and then."""
    found = subprocess.run(
        [sys.executable, "-c", UNHEARD.format(wait=wait)],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert found.stdout == b"heard\n", found.stderr.decode()


def test_a_signal_that_is_held_back_comes_after_the_block() -> None:
    """What the block has made exists when the signal is raised, once."""
    made = []

    def begin() -> None:
        with held_back():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            made.append(1)

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert made == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
