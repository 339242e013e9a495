import asyncio
from _thread import get_ident
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from understudy.actors.kernel.actor import Actor, as_child
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.dispatchers.inline import InlineDispatcher
from understudy.actors.kernel.options import MailboxOptions
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.system import ActorSystem
from understudy.actors.rules.restarts import RestartPolicy
from understudy.messages.control import Overflow
from understudy.messages.errors import UnderstudyError
from understudy.testing import ManualClock


class Told(Actor):
    """Does what its messages say."""

    blocking = False
    expects = (LookupError,)

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


class Patient(Actor):
    async def on_receive(self, message: bool) -> str:
        if message:
            await asyncio.sleep(0)
        return "done"


def _system(loop: asyncio.AbstractEventLoop, clock: ManualClock) -> ActorSystem:
    policy = RestartPolicy(backoff_min=0.0, intensity=1_000_000)
    inline = InlineDispatcher()
    return ActorSystem(
        loop=loop,
        loop_thread=get_ident(),
        dispatchers={"loop": inline},
        clock=clock,
        restart_policy=policy,
    )


@pytest.fixture
def system() -> Iterator[ActorSystem]:
    """A system that handles everything where it is sent."""
    loop = asyncio.new_event_loop()
    yield _system(loop, ManualClock())
    loop.close()


def test_a_message_is_handled_before_tell_returns(system: ActorSystem) -> None:
    """On the sender's stack, without a loop that turns."""
    ref = _spawn(system, Told)
    got: list[str] = []
    assert ref.tell(lambda _: got.append("x"))
    assert got == ["x"]
    assert _ask(ref, "y") == "y"
    assert ref.ledger.balanced


def test_one_at_a_time_and_in_order(system: ActorSystem) -> None:
    """What a handler sends waits for its end, as it would in a mailbox anywhere."""
    ref = _spawn(system, Told)
    order: list[str] = []

    def outer(actor: Any) -> None:
        order.append("begin")
        actor.ref.tell(lambda _: order.append("first"))
        actor.ref.tell(lambda _: order.append("second"))
        order.append("end")

    ref.tell(outer)
    assert order == ["begin", "end", "first", "second"]


def test_an_async_handler_may_not_wait(system: ActorSystem) -> None:
    """One that does not wait is served; one that does is refused, and told why."""
    ref = _spawn(system, Patient)
    assert _ask(ref, False) == "done"
    with pytest.raises(UnderstudyError, match="nothing to wait with"):
        _ask(ref, True)
    assert ref.ledger.failed == 1


def _spawn(system: ActorSystem, kind: type[Actor], **options: Any) -> Ref[Any]:
    ref: Ref[Any] = _value(system.spawn(as_child(kind, **options)))
    return ref


def _value(reply: Reply[Any]) -> Any:
    outcome = reply.outcome()
    assert reply.done
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


def _ask(ref: Ref[Any], message: Any) -> Any:
    return _value(ref.request(message, timeout=5))


CAPACITY = 3


class Ledgers(RuleBasedStateMachine):
    """An actor and whatever can happen to a message of it; after each step the account balances.

    `busy` keeps its handler on the stack by sending from within it, so that a queue builds up: all
    that is sent then is collected and sent by one handler.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.system = _system(self.loop, self.clock)
        self.owed: list[Deferred] = []
        self.asked: list[Reply[Any]] = []
        self.ref: Ref[Any] = self.make(Overflow.REJECT)

    def make(self, policy: Overflow) -> Ref[Any]:
        options = MailboxOptions(capacity=CAPACITY, overflow=policy)
        return _spawn(self.system, Told, mailbox=options)

    def teardown(self) -> None:
        self.system.kill_all()
        ledger = self.system.ledger()
        assert ledger.balanced, ledger
        assert not ledger.queued + ledger.stashed + ledger.running, ledger
        assert all(reply.done for reply in self.asked)
        self.loop.close()

    def send(self, message: Any, *, ask: bool) -> None:
        if ask:
            self.asked.append(self.ref.request(message, timeout=5))
        else:
            self.ref.tell(message)

    def message(self, kind: str) -> Any:
        return {
            "answer": lambda _: "answer",
            "expected": _look_up,
            "crash": _crash,
            "defer": lambda actor: self.owed.append(actor.defer()),
            "answered": lambda actor: actor.defer().set("early"),
            "stash": lambda actor: actor.stash(),
            "unstash": lambda actor: actor.unstash(),
        }[kind]

    kinds = st.sampled_from("answer expected crash defer answered stash unstash".split())

    @rule(kind=kinds, ask=st.booleans())
    def one(self, kind: str, ask: bool) -> None:
        self.send(self.message(kind), ask=ask)

    @rule(
        many=st.lists(st.tuples(kinds, st.booleans()), max_size=6),
        drop=st.integers(0, 5),
        late=st.booleans(),
        then=st.sampled_from(["", "crash", "stop", "stop now", "kill", "restart"]),
    )
    def busy(self, many: list[tuple[str, bool]], drop: int, late: bool, then: str) -> None:
        """A handler sends to itself, cancels one request, lets time pass, and ends somehow."""

        def handle(actor: Any) -> None:
            first = len(self.asked)
            for kind, ask in many:
                self.send(self.message(kind), ask=ask)
            for reply in self.asked[first + drop : first + drop + 1]:
                reply.cancel()
            if late:
                self.clock.advance(5.02)
            if then == "crash":
                _crash(actor)
            elif then:
                _end(self.ref, then)

        self.ref.tell(handle)

    @precondition(lambda self: self.owed)
    @rule(which=st.integers(0, 9), fail=st.booleans())
    def answer(self, which: int, fail: bool) -> None:
        deferred = self.owed[which % len(self.owed)]  # answered before, perhaps: a dead letter
        deferred.set_exception(ValueError("owed")) if fail else deferred.set("owed")

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 9))
    def cancel(self, which: int) -> None:
        self.asked[which % len(self.asked)].cancel()

    @rule(seconds=st.sampled_from([0.1, 5.02]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.loop.run_until_complete(_turns())

    @rule(how=st.sampled_from(["stop", "stop now", "kill", "restart"]))
    def end(self, how: str) -> None:
        _end(self.ref, how)

    @precondition(lambda self: not self.ref.is_alive())
    @rule(policy=st.sampled_from(list(Overflow)))
    def another(self, policy: Overflow) -> None:
        self.ref = self.make(policy)

    @invariant()
    def balances(self) -> None:
        """Of this actor, and of all there ever were."""
        for ledger in (self.ref.ledger, self.system.ledger()):
            assert ledger.balanced, ledger
            assert ledger.running >= 0 <= ledger.queued
        assert self.ref.stats.depth == self.ref.ledger.queued


def _look_up(_: Any) -> None:
    raise LookupError("expected")


def _crash(_: Any) -> None:
    raise ValueError("crash")


def _end(ref: Ref[Any], how: str) -> None:
    match how:
        case "stop":
            ref.stop()
        case "stop now":
            ref.stop(drain=False)
        case "kill":
            ref.kill()
        case "restart":
            ref.restart()


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
