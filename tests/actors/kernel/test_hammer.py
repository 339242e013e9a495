"""Threads that send, stop, kill, restart and look, all at once: nothing is lost or unanswered."""

import random
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from understudy import Actor, MailboxOptions, Runtime, child
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply


class Loop(Actor):
    """Works on the loop; fails, defers and stashes where it is told to."""

    blocking = False

    def on_receive(self, message: Any) -> Any:
        if message == "fail":
            raise ValueError(message)
        if message == "defer":
            self.defer().set("deferred")
        return message


class Threads(Loop):
    """The same on threads."""

    blocking = True


@pytest.fixture
def _often() -> Iterator[None]:
    """Threads take turns every microsecond."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("kind", [Loop, Threads])
def test_every_ask_is_answered_whoever_ends_the_actor(kind: type[Actor]) -> None:
    """Askers on threads race stops, kills and restarts of idle and of busy actors."""
    asks: list[list[Reply[Any]]] = [[], [], []]
    with Runtime() as rt:
        refs = [rt.spawn(kind)]
        over = threading.Event()

        def ask(mine: list[Reply[Any]]) -> None:
            while len(mine) < 2_000:
                mine.append(refs[-1].request(len(mine)))

        def end() -> None:
            draw = random.Random(1)
            while not over.is_set():
                ref: Ref[Any] = refs[-1]
                how = draw.randrange(4)
                if how == 3:
                    ref.restart()
                    continue
                refs.append(rt.spawn(kind))
                ends = (ref.stop() if how else ref.kill(), ref.stop(drain=False))
                for each in ends:
                    each.get(timeout=10)

        threads = [threading.Thread(target=ask, args=(mine,)) for mine in asks]
        ender = threading.Thread(target=end)
        for thread in (*threads, ender):
            thread.start()
        for thread in threads:
            thread.join(60)
        over.set()
        ender.join(60)
        report = rt.stop()
    assert all(reply.done for mine in asks for reply in mine)
    assert report.ledger.balanced
    assert not report.ledger.queued + report.ledger.running


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("kind", [Loop, Threads])
def test_batches_balance_while_threads_fold_them(kind: type[Actor]) -> None:
    """Tells in rows, among them ones that fail and defer, while others look, ask and restart."""
    total = 4_000
    with Runtime() as rt:
        spec = child(kind).options(
            mailbox=MailboxOptions(capacity=10 * total), directives={ValueError: "resume"}
        )
        ref: Ref[Any] = rt.spawn(spec)
        over = threading.Event()
        wrong: list[Any] = []

        def tell(seed: int) -> None:
            draw = random.Random(seed)
            for number in range(total):
                what = draw.random()
                ref.tell("fail" if what < 0.01 else "defer" if what < 0.05 else number)

        def look() -> None:
            draw = random.Random(7)
            while not over.is_set():
                ledger, stats = ref.ledger, ref.stats
                if not ledger.balanced or stats.depth < 0:
                    wrong.append((ledger, stats))
                if draw.random() < 0.02:
                    ref.restart()

        tellers = [threading.Thread(target=tell, args=(seed,)) for seed in range(2)]
        looker = threading.Thread(target=look)
        for thread in (*tellers, looker):
            thread.start()
        for thread in tellers:
            thread.join(60)
        over.set()
        looker.join(60)
        assert ref.request("last", timeout=60).get(timeout=60) == "last"
        ref.stop().get(timeout=60)
        ledger = ref.ledger
    assert wrong == []
    assert ledger.balanced
    assert ledger.accepted == 2 * total + 1
    assert ledger.handled + ledger.failed == ledger.accepted
