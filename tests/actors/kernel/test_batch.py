"""Several tells claimed at once: nobody can tell the difference."""

import threading
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.batch import MOST
from understudy.actors.kernel.dispatchers import base
from understudy.actors.kernel.options import MailboxOptions
from understudy.actors.kernel.ref import Ref
from understudy.messages.control import Ledger

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio

seen: ContextVar[int] = ContextVar("seen", default=0)


class Gate:
    """Keeps a threaded actor in a handler, so that tells can gather behind it.

    It changes the context, so its slice ends with it, and the next one begins with a batch.
    """

    def __init__(self, ref: Ref[Any]) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        ref.tell(self._wait)
        self.entered.wait(10)

    def _wait(self, _: Any) -> None:
        seen.set(1)
        self.entered.set()
        self.go.wait(10)


async def test_a_batch_is_balanced_at_any_instant(stage: "Stage") -> None:
    """Each handler sees those before it handled, itself in hand and the rest queued."""
    ref = await stage.sync_doer()
    books: list[Ledger] = []
    depths: list[int] = []

    def look(_: Any) -> None:
        books.append(ref.ledger)
        depths.append(ref.stats.depth)

    for _ in range(10):
        ref.tell(look)
    await stage.until(lambda: len(books) == 10)
    assert [(book.handled, book.running, book.queued) for book in books] == [
        (n, 1, 9 - n) for n in range(10)
    ]
    assert all(book.balanced for book in books)
    assert depths == list(range(9, -1, -1))


async def test_the_capacity_counts_what_a_batch_has_not_begun(stage: "Stage") -> None:
    """A mailbox is as full while its tells are claimed together as it was before."""
    ref = await stage.sync_doer(mailbox=MailboxOptions(capacity=8))
    accepted: list[bool] = []
    order: list[int] = []

    def fill(_: Any) -> None:
        accepted.extend(ref.tell(lambda _: order.append(9)) for _ in range(3))

    ref.tell(fill)
    for n in range(7):
        ref.tell(lambda _, n=n: order.append(n))
    await stage.until(lambda: len(order) == 8)
    assert accepted == [True, False, False]
    assert order == [0, 1, 2, 3, 4, 5, 6, 9]


async def test_a_failure_in_a_batch_costs_one_message(stage: "Stage") -> None:
    """The actor restarts, and what was claimed with the one that failed is handled, in order."""
    ref = await stage.sync_doer()
    order: list[int] = []
    lives: list[int] = []

    def note(n: int, _: Any) -> None:
        order.append(n)
        lives.append(ref.incarnation)

    for n in range(4):
        ref.tell(partial(note, n))
    ref.tell(lambda _: 1 / 0)
    for n in range(4, 8):
        ref.tell(partial(note, n))
    await stage.until(lambda: stage.system.failures)
    await stage.advance(1.0)
    await stage.until(lambda: len(order) == 8)
    assert order == list(range(8))
    assert (ref.ledger.handled, ref.ledger.failed, ref.incarnation) == (8, 1, 1)
    assert lives == [0] * 4 + [1] * 4, "the next life handles what the last one left"


async def test_a_kill_drops_what_a_batch_has_not_begun(stage: "Stage") -> None:
    """The rest of a batch is dropped with a killed actor, as queued messages are."""
    ref = await stage.sync_doer()
    ref.tell(lambda _: ref.kill())
    for _ in range(9):
        ref.tell(lambda _: None)
    await ref.ajoin()
    assert stage.reasons() == ["killed"] * 9
    assert ref.ledger.dropped == 9


async def test_an_answer_can_be_deferred_within_a_batch(stage: "Stage") -> None:
    """A message that is deferred stays owed; the others of its batch go on."""
    ref = await stage.sync_doer()
    order: list[int] = []
    held: list[Any] = []
    ref.tell(lambda _: order.append(0))
    ref.tell(lambda actor: held.append(actor.defer()))
    for n in range(1, 6):
        ref.tell(lambda _, n=n: order.append(n))
    await stage.until(lambda: len(order) == 6)
    assert order == list(range(6))
    assert (ref.ledger.handled, ref.ledger.running) == (6, 1)
    held[0].set(None)
    assert ref.ledger.handled == 7


async def test_a_message_can_be_stashed_within_a_batch(stage: "Stage") -> None:
    """What is stashed comes back in front of the others, and is handled once."""
    ref = await stage.sync_doer()
    order: list[str] = []

    class First:
        times = 0

        def __call__(self, actor: Any) -> None:
            self.times += 1
            if self.times == 1:
                actor.stash()
            else:
                order.append("stashed")

    ref.tell(First())
    ref.tell(lambda _: order.append("a"))
    ref.tell(lambda actor: actor.unstash())
    ref.tell(lambda _: order.append("b"))
    ref.tell(lambda _: order.append("c"))
    await stage.until(lambda: len(order) == 4)
    assert order == ["a", "stashed", "b", "c"]
    assert (ref.ledger.handled, ref.ledger.stashed) == (5, 0)


async def test_a_batch_goes_on_without_the_handler_that_is_left_behind(stage: "Stage") -> None:
    """An abandoned handler keeps its own message; a new life takes the rest of its batch."""
    stage.quiet = False
    ref = await stage.thread_doer()
    first = Gate(ref)
    order: list[int] = []
    stuck, free = threading.Event(), threading.Event()

    def hang(_: Any) -> None:
        stuck.set()
        free.wait(10)

    ref.tell(lambda _: order.append(0))
    ref.tell(hang)
    for n in range(1, 6):
        ref.tell(lambda _, n=n: order.append(n))
    first.go.set()
    await stage.until(stuck.is_set)
    cell = ref.cell
    assert cell.batch is not None
    cell.abandon(cell.batch.envelopes[cell.batch.done])
    await stage.until(lambda: len(order) == 6)
    assert order == list(range(6))
    assert (ref.ledger.abandoned, ref.ledger.handled) == (1, 7)
    free.set()
    await stage.until(lambda: not ref.ledger.abandoned)
    assert (ref.ledger.cancelled, ref.ledger.handled) == (1, 7)
    assert ref.ledger.balanced


async def test_a_batch_that_is_folded_between_two_messages_loses_none(stage: "Stage") -> None:
    """Folded just after a handler has ended, the next one is queued again."""
    ref = await stage.sync_doer()
    cell = ref.cell
    for _ in range(6):
        ref.tell(lambda _: None)
    batch = cell.claim_batch()  # here, before the loop turns and does it
    assert batch is not None
    batch.done = 1
    with cell.lock:
        cell.fold_locked()
    assert (ref.ledger.handled, ref.ledger.running, ref.ledger.queued) == (1, 1, 4)
    assert base._folded(cell, batch, batch.envelopes[0], None)
    assert (ref.ledger.handled, ref.ledger.running, ref.ledger.queued) == (1, 0, 5)
    await stage.until(lambda: ref.ledger.handled == 6)


async def test_a_message_that_was_left_behind_unbegun_comes_back_at_once(stage: "Stage") -> None:
    """Folded and left behind between two messages, the next one is cancelled in the books."""
    ref = await stage.sync_doer()
    cell = ref.cell
    for _ in range(6):
        ref.tell(lambda _: None)
    batch = cell.claim_batch()
    assert batch is not None
    batch.done = 1
    with cell.lock:
        cell.fold_locked()
    cell.abandon(batch.envelopes[1])
    assert ref.ledger.abandoned == 1
    assert not base._folded(cell, batch, batch.envelopes[0], None)
    assert (ref.ledger.abandoned, ref.ledger.cancelled) == (0, 1)
    await stage.until(lambda: ref.ledger.handled == 5)
    assert ref.ledger.balanced


async def test_an_expired_tell_never_starts_within_a_batch(stage: "Stage") -> None:
    """Tells of a handler inherit its deadline, and those that have passed it are dead letters."""
    ref, other = await stage.sync_doer(), await stage.doer()
    order: list[int] = []

    def first(_: Any) -> None:
        order.append(0)
        stage.clock.advance(5.0)

    def send(_: Any) -> None:
        ref.tell(first)
        for n in range(1, 6):
            ref.tell(lambda _, n=n: order.append(n))

    await other.request(send, timeout=1.0)
    await stage.until(lambda: ref.ledger.expired == 5)
    assert order == [0]
    assert stage.reasons().count("expired") == 5


async def test_a_tell_that_expires_within_a_slice_never_starts(stage: "Stage") -> None:
    """The deadline passes while a batch is worked through, and its slice is not over yet."""
    ref, other = await stage.sync_doer(), await stage.doer()
    order: list[int] = []

    def first(_: Any) -> None:
        order.append(0)
        stage.clock.advance(0.003)

    def send(_: Any) -> None:
        ref.tell(first)
        for n in range(1, 6):
            ref.tell(lambda _, n=n: order.append(n))

    await other.request(send, timeout=0.002)
    await stage.until(lambda: ref.ledger.expired == 5)
    assert order == [0]


async def test_what_may_be_dropped_is_not_claimed_ahead(stage: "Stage") -> None:
    """With `drop_oldest` the oldest that waits gives way, also while tells could be a batch."""
    ref = await stage.sync_doer(mailbox=MailboxOptions(capacity=6, overflow="drop_oldest"))
    order: list[int] = []
    accepted: list[bool] = []

    def fill(_: Any) -> None:
        order.append(0)
        accepted.extend(ref.tell(lambda _, n=n: order.append(n)) for n in (6, 7))

    ref.tell(fill)
    for n in range(1, 6):
        ref.tell(lambda _, n=n: order.append(n))
    await stage.until(lambda: len(order) == 7)
    assert accepted == [True, True]
    assert order == [0, 2, 3, 4, 5, 6, 7]
    assert stage.reasons() == ["overflow"]


async def test_a_context_variable_does_not_leak_within_a_batch(stage: "Stage") -> None:
    """What one message of a batch sets, the next one does not see."""
    ref = await stage.sync_doer()
    found: list[int] = []

    def note(n: int, _: Any) -> None:
        found.append(seen.get())
        seen.set(n)

    for n in range(1, 7):
        ref.tell(partial(note, n))
    await stage.until(lambda: len(found) == 6)
    assert found == [0] * 6


async def test_an_actor_hands_over_after_a_batch(stage: "Stage") -> None:
    """Two actors with long rows of tells take turns."""
    one, two = await stage.sync_doer(), await stage.sync_doer()
    order: list[str] = []
    for _ in range(2 * MOST):
        one.tell(lambda _: order.append("one"))
        two.tell(lambda _: order.append("two"))
    await stage.until(lambda: len(order) == 4 * MOST)
    assert order[:MOST] == ["one"] * MOST
    assert order[MOST : 2 * MOST] == ["two"] * MOST


class Closing(Actor):
    """Sync, on the loop, and with a hook that waits."""

    blocking = False

    def __init__(self, closed: list[int]) -> None:
        self._closed = closed

    def on_receive(self, message: Any) -> None:
        message(self)

    async def on_stop(self) -> None:
        self._closed.append(1)


async def test_a_hook_that_waits_is_run_after_a_sync_handler(stage: "Stage") -> None:
    """An actor with a plain handler that stops itself has its `async` hook awaited."""
    from understudy.actors.kernel.options import child

    closed: list[int] = []
    ref = await stage.spawn(child(Closing, closed))
    ref.tell(lambda actor: actor.ref.stop())
    await ref.ajoin()
    assert closed == [1]
