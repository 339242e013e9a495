import asyncio
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pykka
import pytest

from understudy.actors.kernel.actor import Actor, as_child
from understudy.actors.kernel.options import child
from understudy.messages.control import ActorState
from understudy.messages.errors import (
    ConfigError,
    DeadlockError,
    RuntimeStoppedError,
    UnhandledMessageError,
)

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio
KINDS = ["doer", "sync_doer", "thread_doer"]
FATAL = [SystemExit, asyncio.CancelledError, MemoryError, GeneratorExit, pytest.fail.Exception]


@pytest.mark.parametrize("error", FATAL)
@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_a_handler_raises_is_contained(
    stage: "Stage", kind: str, error: type[BaseException]
) -> None:
    """The asker gets it, the actor starts again, the others never hear of it (P2)."""
    ref, other = await getattr(stage, kind)(), await getattr(stage, kind)()

    def fail(_: Any) -> None:
        raise error("contained")

    for lives in (1, 2):
        with pytest.raises(error):
            await ref.request(fail)
        await stage.advance(0.5)
        assert await ref.request("again") == "again"
        assert ref.incarnation == lives
    assert await other.request("alive") == "alive"
    assert ref.ledger.failed == 2
    assert [type(failure) for _, failure in stage.system.failures] == [error, error]


@pytest.mark.parametrize("error", FATAL)
async def test_what_is_raised_after_waiting_is_contained(
    stage: "Stage", error: type[BaseException]
) -> None:
    """Also when the handler has suspended before."""
    ref = await stage.doer()

    async def fail(_: Any) -> None:
        await asyncio.sleep(0)
        raise error("contained")

    with pytest.raises(error):
        await ref.request(fail)
    await stage.advance(0.2)
    assert await ref.request("again") == "again"


@pytest.mark.parametrize("kind", KINDS)
async def test_one_message_at_a_time(stage: "Stage", kind: str) -> None:
    """However many threads send, a handler never runs twice at once."""
    ref = await getattr(stage, kind)()
    inside, most = 0, 0

    def handle(_: Any) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if kind == "doer":
            return leave()
        inside -= 1
        return None

    async def leave() -> None:
        nonlocal inside
        await asyncio.sleep(0)
        inside -= 1

    senders = [stage.thread(lambda: [ref.ask(handle) for _ in range(30)]) for _ in range(4)]
    for each in senders:
        await each
    assert most == 1
    assert ref.ledger.handled == 120


async def test_timeouts_groups_and_scopes_work_in_handlers(stage: "Stage") -> None:
    """`asyncio.timeout`, task groups and anyio see a real task, before and after suspending."""
    ref = await stage.doer()

    async def timed() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timed out"
        return "never"

    async def grouped() -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, n)) for n in (1, 2, 3)]
        return sum(task.result() for task in tasks)

    async def scoped() -> bool:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep_forever()
        with anyio.move_on_after(0) as late:
            await anyio.sleep_forever()
        return scope.cancelled_caught and late.cancelled_caught

    async def failing() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            raise KeyError("x")

    for _ in range(3):  # the first one makes the runner that later ones are lent
        assert await ref.request(lambda _: timed()) == "timed out"
        assert await ref.request(lambda _: grouped()) == 6
        assert await ref.request(lambda _: scoped())
    with pytest.raises(ExceptionGroup) as caught:
        await ref.request(lambda _: failing())
    assert caught.group_contains(KeyError)


async def test_a_context_variable_ends_with_its_message(stage: "Stage") -> None:
    """What one handler sets is not seen by the next, whether they suspend or not."""
    from contextvars import ContextVar

    var: ContextVar[str] = ContextVar("var", default="unset")
    for kind in KINDS:
        ref = await getattr(stage, kind)()
        await ref.request(lambda _: str(var.set("mine")))
        assert await ref.request(lambda _: var.get()) == "unset"
        replies = [ref.request(lambda _: (var.get(), var.set("x"))[0]) for _ in range(5)]
        assert [await reply for reply in replies] == ["unset"] * 5
    assert var.get() == "unset"


async def test_bind_carries_the_message_to_a_raw_thread(stage: "Stage") -> None:
    """What a bound function sends from a thread inherits the deadline of the message in hand."""
    inner, outer = await stage.doer(), await stage.doer()

    async def handle(actor: Any) -> Any:
        ask = actor.context.bind(lambda: inner.ask(lambda a: a.context.deadline))
        return await stage.thread(ask)

    deadline = await outer.request(handle, timeout=5)
    assert deadline == pytest.approx(stage.clock.now() + 5)


async def test_waiting_in_a_circle_is_refused(stage: "Stage") -> None:
    """The request that would close the circle fails there, and the error names the actors."""
    first, second = await stage.doer(name="a"), await stage.doer(name="b")

    async def ask(ref: Any, message: Any) -> Any:
        return await ref.request(message)

    with pytest.raises(DeadlockError, match="/user/b -> /user/a -> /user/b"):
        await first.request(lambda _: ask(second, lambda _: ask(first, "x")))
    await stage.advance(1)
    with pytest.raises(DeadlockError, match="/user/a -> /user/a"):
        await first.request(lambda _: ask(first, "x"))
    await stage.advance(1)
    assert await first.request("x") == "x"


class Declared(Actor):
    expects = (LookupError,)

    async def on_receive(self, message: str) -> str:
        raise KeyError(message)


class Silent(Actor):
    """It has no handler."""


async def test_expected_errors_are_answers(stage: "Stage") -> None:
    """A declared error goes to the asker alone: no failure, no restart."""
    ref = await stage.spawn(Declared)
    with pytest.raises(KeyError):
        await ref.request("x")
    assert ref.incarnation == 0
    assert not stage.system.failures


async def test_a_message_without_a_handler_is_a_dead_letter(stage: "Stage") -> None:
    """The asker hears it, it counts as dropped, and the actor lives on."""
    ref = await stage.spawn(Silent)
    with pytest.raises(UnhandledMessageError, match="no handler for str"):
        await ref.request("x")
    assert ref.state == ActorState.RUNNING
    assert ref.ledger.dropped == 1
    assert stage.reasons() == ["unhandled"]


async def test_actors_are_checked_when_made(stage: "Stage") -> None:
    """An async hook beside a sync handler, a name taken, and what is no actor are refused."""
    with pytest.raises(ConfigError, match="on_start is async"):
        type("Mixed", (Silent,), {"on_start": on_start})
    with pytest.raises(ConfigError, match="not an Actor class"):
        as_child(dict)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has no '/'"):
        child(Silent).options(name="a/b")
    with pytest.raises(ConfigError, match="unknown"):
        child(Silent).options(nmae="a")
    await stage.spawn(Silent, name="one")
    with pytest.raises(ConfigError, match="already has a child named 'one'"):
        await stage.spawn(Silent, name="one")
    assert isinstance(Silent(), pykka.Actor)
    stage.system.closing = True
    with pytest.raises(RuntimeStoppedError):
        await stage.spawn(Silent)
    stage.system.closing = False


async def on_start(self: Any) -> None:
    """A hook beside a sync handler."""


async def test_ten_thousand_idle_actors(stage: "Stage") -> None:
    """They start and stop, hold no task and no thread, and leave nothing."""
    before = threading.active_count()
    refs = [(await stage.doer()) for _ in range(10_000)]
    assert len(asyncio.all_tasks()) < 10
    assert threading.active_count() <= before  # one of another test may have ended meanwhile
    assert all(ref.is_alive() for ref in refs)
    ends = [ref.stop() for ref in refs]
    for end in ends:
        await end
    assert stage.system.user.children == {}
