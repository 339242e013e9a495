from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pykka
import pytest
from pykka._envelope import Envelope as PykkaEnvelope

from understudy.actors.kernel.cell import ask_foreign
from understudy.actors.kernel.gathering import adopt, gather
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.messages.errors import ActorDeadError, DeadlineExceededError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


class Plain(pykka.ThreadingActor):
    """A pykka actor as anybody writes it; its messages are functions too."""

    use_daemon_thread = True

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


@pytest.fixture
def plain() -> Iterator[pykka.ActorRef[Plain]]:
    """A plain pykka actor on its own thread."""
    ref = Plain.start()
    yield ref
    if ref.is_alive():
        ref.stop()


async def test_pykka_actors_ask_ours(stage: "Stage", plain: pykka.ActorRef[Plain]) -> None:
    """With `ask` and `tell`, as one of their own; an error arrives as it was raised."""
    ref = await stage.doer()

    def fail(_: Any) -> None:
        raise LookupError("ours")

    assert await ask_foreign(plain, lambda _: ref.ask("x", timeout=5)) == "x"
    assert await ask_foreign(plain, lambda _: ref.ask("y", block=False).get(timeout=5)) == "y"
    assert await ask_foreign(plain, lambda _: ref.tell("z")) is True
    with pytest.raises(LookupError, match="ours"):
        await ask_foreign(plain, lambda _: ref.ask(fail))
    assert plain.is_alive()


async def test_our_actors_ask_pykkas(stage: "Stage", plain: pykka.ActorRef[Plain]) -> None:
    """Async ones without blocking the loop, blocking ones as pykka does."""
    ours, blocking = await stage.doer(), await stage.thread_doer()
    assert await ours.request(lambda _: ask_foreign(plain, "x")) == "x"
    assert await blocking.request(lambda _: plain.ask("y", timeout=5)) == "y"

    def fail(_: Any) -> None:
        raise LookupError("theirs")

    with pytest.raises(LookupError, match="theirs"):
        await ask_foreign(plain, fail)


async def test_asking_a_pykka_actor_that_has_ended(plain: pykka.ActorRef[Plain]) -> None:
    """It is answered at once, with an error that is pykka's and ours."""
    plain.stop()
    for kind in (ActorDeadError, pykka.ActorDeadError):
        with pytest.raises(kind):
            await ask_foreign(plain, "x")


async def test_a_cancelled_question_does_not_hurt_pykka(
    plain: pykka.ActorRef[Plain],
) -> None:
    """It answers a reply that nobody waits for; pykka's own future would end its thread (P1)."""
    reply: Reply[Any] = ask_foreign(plain, lambda _: reply.cancel())
    assert await ask_foreign(plain, "alive") == "alive"
    assert reply.cancelled
    assert plain.is_alive()


async def test_ours_are_pykkas_types(stage: "Stage") -> None:
    """`isinstance` holds, and pykka's errors catch ours."""
    ref = await stage.doer()
    assert isinstance(ref, pykka.ActorRef)
    assert isinstance(ref.request("x"), pykka.Future)
    assert isinstance(await ref.request(lambda a: a), pykka.Actor)
    assert ref.actor_class is ref.cell.spec.cls
    assert not pykka.ActorRegistry.get_all()
    await ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        await ref.request("x")


async def test_pykka_get_all_takes_our_replies(stage: "Stage") -> None:
    """On a thread, `pykka.get_all` waits for them."""
    refs = [await stage.doer() for _ in range(3)]
    replies = [ref.request(number) for number, ref in enumerate(refs)]
    assert await stage.thread(lambda: pykka.get_all(replies, timeout=5)) == [0, 1, 2]


async def test_answers_of_both_are_gathered(stage: "Stage", plain: pykka.ActorRef[Plain]) -> None:
    """In order; one deadline for all of them (P6); none at all are answered at once."""
    ref = await stage.doer()
    foreign = plain.ask("theirs", block=False)
    assert await gather([ref.request("ours"), foreign]) == ["ours", "theirs"]
    assert await gather([]) == []
    open_: Reply[Any] = Reply()
    waiting = ref.request(lambda _: open_)
    late = gather([ref.request("queued"), waiting], timeout=1)
    await stage.advance(1.02)
    with pytest.raises(DeadlineExceededError):
        await late
    assert waiting.cancelled
    assert open_.cancelled


async def test_a_pykka_future_is_adopted() -> None:
    """Its value or error, without blocking the loop that awaits it."""
    future: pykka.ThreadingFuture[str] = pykka.ThreadingFuture()
    reply = adopt(future)
    assert not reply.done
    future.set("there")
    assert await reply == "there"


async def test_pykkas_machinery_is_not_used(stage: "Stage") -> None:
    """Starting one of ours with pykka's own loop or inbox is refused with what to do instead."""
    ref = await stage.doer()
    kind = ref.actor_class
    for name, args in (("_create_actor_inbox", ()), ("_start_actor_loop", (None,))):
        with pytest.raises(TypeError, match=r"rt\.spawn"):
            getattr(kind, name)(*args)
    assert isinstance(kind._create_future(), Reply)


def test_the_private_names_of_pykka_are_where_we_look() -> None:
    """What `cell.py` takes from pykka beyond its public surface: fails loudly when it moves."""
    envelope = PykkaEnvelope("message", reply_to=Reply())
    assert envelope.message == "message"
    assert isinstance(envelope.reply_to, Reply)
    for name in ("_create_actor_inbox", "_create_future", "_start_actor_loop"):
        assert callable(getattr(pykka.Actor, name))
    ref = Plain.start()
    assert callable(ref.actor_inbox.put)
    assert isinstance(ref, pykka.ActorRef)
    assert not isinstance(ref, Ref)
    ref.stop()
