import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel.timers import Timer
from understudy.messages.errors import ConfigError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


async def test_a_timer_fires_once(stage: "Stage") -> None:
    """After its time, not before, in order of time and not of making."""
    ref = await stage.doer()
    rung: list[str] = []

    def set_two(actor: Any) -> None:
        actor.timer(lambda _: rung.append("late"), after=2)
        actor.timer(lambda _: rung.append("early"), after=1)

    await ref.request(set_two)
    await stage.advance(0.9)
    assert rung == []
    await stage.advance(0.2)
    assert rung == ["early"]
    await stage.advance(100)
    assert rung == ["early", "late"]
    assert not ref.cell.timers


@pytest.mark.parametrize("kind", ["doer", "sync_doer", "thread_doer"])
async def test_timers_work_on_every_dispatcher(stage: "Stage", kind: str) -> None:
    """They are set from the actor's thread and ring on it."""
    ref = await getattr(stage, kind)()
    rung: list[str] = []
    await ref.request(lambda a: a.timer(lambda _: rung.append("x"), after=1))
    await stage.turn()
    await stage.advance(1.1)
    await stage.until(lambda: rung)


async def test_a_cancelled_timer_never_fires(stage: "Stage") -> None:
    """Not before its time, and not when its message already lies in the mailbox (B12)."""
    ref = await stage.doer()
    rung: list[str] = []
    timers: list[Timer] = [
        await ref.request(lambda a: a.timer(lambda _: rung.append("a"), after=1)),
        await ref.request(lambda a: a.timer(lambda _: rung.append("b"), after=2)),
    ]
    timers[0].cancel()
    go = asyncio.Event()
    busy = ref.request(lambda _: go.wait())
    await stage.turn()
    await stage.advance(3)
    assert ref.ledger.queued == 1
    timers[1].cancel()
    go.set()
    await busy
    await ref.request("after it")
    assert rung == []
    assert ref.ledger.cancelled == 1


async def test_a_repeating_timer_is_never_queued_twice(stage: "Stage") -> None:
    """However long the actor is busy, one message of it waits; then it goes on as before."""
    ref = await stage.doer()
    rung: list[float] = []
    timer = await ref.request(lambda a: a.timer(lambda a: rung.append(a.context.now()), every=1))
    go = asyncio.Event()
    busy = ref.request(lambda _: go.wait())
    await stage.turn()
    for _ in range(5):
        await stage.advance(1)
    assert ref.ledger.queued == 1
    go.set()
    await busy
    await ref.request("after it")
    assert len(rung) == 1
    for _ in range(3):
        await stage.advance(1)
    assert len(rung) == 4
    timer.cancel()
    await stage.advance(5)
    assert len(rung) == 4


@pytest.mark.parametrize("end", ["crash", "restart", "stop", "kill"])
async def test_timers_end_with_their_life(stage: "Stage", end: str) -> None:
    """The next life starts without them: none fires twice because of a restart (B11)."""
    ref = await stage.doer()
    rung: list[str] = []

    def set_timers(actor: Any) -> None:
        actor.timer(lambda _: rung.append("every"), every=1)
        actor.timer(lambda _: rung.append("after"), after=1)

    await ref.request(set_timers)
    if end == "crash":
        await stage.crash(ref)
        await stage.advance(0.2)
    else:
        await getattr(ref, end)()
    for _ in range(5):
        await stage.advance(1)
    assert rung == []
    assert ref.is_alive() is (end in ("crash", "restart"))


async def test_a_timer_in_the_mailbox_ends_with_its_life(stage: "Stage") -> None:
    """Also when it has rung already: the new life does not get the old one's messages."""
    ref = await stage.doer()
    rung: list[str] = []
    await ref.request(lambda a: a.timer(lambda _: rung.append("old"), after=1))
    go = asyncio.Event()

    async def fail(_: Any) -> None:
        await go.wait()
        raise ValueError("on purpose")

    ref.tell(fail)
    await stage.turn()
    await stage.advance(2)
    assert ref.ledger.queued == 1
    go.set()
    await stage.until(lambda: stage.system.failures)
    await stage.advance(1)
    assert await ref.request("new") == "new"
    assert rung == []
    assert ref.ledger.cancelled == 1


async def test_a_full_mailbox_takes_timers(stage: "Stage") -> None:
    """A timer is what the actor asked for itself: it is never refused."""
    from understudy.actors.kernel.options import MailboxOptions

    ref = await stage.doer(mailbox=MailboxOptions(capacity=1))
    rung: list[str] = []
    await ref.request(lambda a: a.timer(lambda _: rung.append("x"), after=1))
    go = asyncio.Event()
    busy, queued = ref.request(lambda _: go.wait()), None
    await stage.turn()
    queued = ref.request("queued")
    assert not ref.tell("too many")
    await stage.advance(1.1)
    go.set()
    await busy
    await queued
    await stage.until(lambda: rung)


@pytest.mark.parametrize(
    "times", [{}, {"after": 1, "every": 1}, {"after": -1}, {"every": 0}, {"every": -1}]
)
async def test_a_timer_needs_one_time(stage: "Stage", times: dict[str, float]) -> None:
    """Exactly one of after= and every=, and not in the past."""
    ref = await stage.doer()
    with pytest.raises(ConfigError, match=r"timer\(\)"):
        await ref.request(lambda a: a.timer("x", **times))
