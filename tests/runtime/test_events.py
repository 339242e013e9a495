import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from understudy import (
    Agent,
    Event,
    OverloadedError,
    RunFinished,
    RunStarted,
    Runtime,
    ServerError,
    StepCompleted,
    StepDispatched,
    StepFailed,
    Workflow,
    WorkflowError,
    step,
)
from understudy.messages.events import ActorParked
from understudy.runtime.events import EventBus
from understudy.testing import FakeModel

pytestmark = pytest.mark.anyio


class Counted(Event, frozen=True, kw_only=True):
    """An event of these tests."""

    number: int


class Special(Counted, frozen=True, kw_only=True):
    """And one derived from it."""


def counted(number: int) -> Counted:
    """The number-th event."""
    return Counted(at=0.0, number=number)


@pytest.fixture
def bus() -> EventBus:
    """A bus with room for ten events."""
    return EventBus("test-events", bound=10)


def test_nobody_subscribed_means_no_thread_and_no_event(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without subscribers nothing is wanted; a whole workflow builds no event and no thread."""
    assert not bus.wants(Counted)
    bus.publish(counted(1))
    with Runtime(name="silent") as rt:
        published: list[Event] = []
        monkeypatch.setattr(rt.events, "publish", published.append)
        Workflow.sequential("w", step("a", Agent(FakeModel.echo()))).run("x", runtime=rt)
        names = {thread.name for thread in threading.enumerate()}
    assert not published
    assert "understudy-silent-events" not in names


def test_events_come_in_order_on_one_thread_of_the_bus(bus: EventBus) -> None:
    """All callbacks run on the bus's own thread, in the order of publishing."""
    seen: list[tuple[str, int]] = []
    bus.subscribe(Counted, lambda e: seen.append((threading.current_thread().name, e.number)))
    for number in range(8):
        bus.publish(counted(number))
    assert bus.flush(timeout=10)
    assert seen == [("test-events", number) for number in range(8)]
    bus.close(timeout=10)


def test_a_subscription_is_by_type_and_can_end(bus: EventBus) -> None:
    """Subclasses are included, other types are not wanted, and cancel() is the end."""
    base: list[Event] = []
    special: list[Event] = []
    subscription = bus.subscribe(Counted, base.append)
    bus.subscribe(Special, special.append)
    assert bus.wants(Special)
    assert bus.wants(Counted)
    assert not bus.wants(ActorParked)
    bus.publish(counted(1))
    bus.publish(Special(at=0.0, number=2))
    bus.flush(timeout=10)
    subscription.cancel()
    assert not bus.wants(Counted)
    assert bus.wants(Special)
    bus.publish(Special(at=0.0, number=3))
    bus.flush(timeout=10)
    assert [e.number for e in base] == [1, 2]  # type: ignore[attr-defined]
    assert [e.number for e in special] == [2, 3]  # type: ignore[attr-defined]
    bus.close(timeout=10)


def held(bus: EventBus) -> tuple[threading.Event, Callable[[], None]]:
    """Keep the bus's thread busy until the event is set."""
    busy, go_on = threading.Event(), threading.Event()

    class Hold(Event, frozen=True, kw_only=True):
        pass

    def hold(_: Event) -> None:
        busy.set()
        go_on.wait(timeout=10)

    bus.subscribe(Hold, hold)
    bus.publish(Hold(at=0.0))
    assert busy.wait(timeout=10)
    return busy, go_on.set


def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many(bus: EventBus) -> None:
    """The queue is bounded; publishing never waits."""
    seen: list[int] = []
    subscription = bus.subscribe(Counted, lambda e: seen.append(e.number))
    _, go_on = held(bus)
    for number in range(25):
        bus.publish(counted(number))
    go_on()
    bus.flush(timeout=10)
    assert seen == list(range(15, 25))
    assert subscription.dropped == 15
    bus.close(timeout=10)


def test_a_full_queue_keeps_what_marks_a_place(bus: EventBus) -> None:
    """Who waits for everything queued so far is called, however much is lost."""
    bus.subscribe(Counted, lambda _: None)
    _, go_on = held(bus)
    reached: SimpleQueue[None] = SimpleQueue()
    bus.after_queued(reached.put)
    for number in range(50):
        bus.publish(counted(number))
    go_on()
    assert reached.get(timeout=10) is None
    bus.close(timeout=10)
    bus.after_queued(reached.put)
    assert reached.get(timeout=10) is None


def test_errors_in_callbacks_are_logged(bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    """What a callback raises reaches the log, and nobody else; the next event comes."""
    seen: list[int] = []

    def fail(event: Counted) -> None:
        seen.append(event.number)
        raise ValueError(event.number)

    bus.subscribe(Counted, fail)
    with caplog.at_level(logging.ERROR, logger="understudy.events"):
        bus.publish(counted(1))
        bus.publish(counted(2))
        bus.flush(timeout=10)
    assert seen == [1, 2]
    assert [record.message for record in caplog.records] == ["a subscriber of Counted failed"] * 2
    assert caplog.records[0].exc_info is not None
    bus.close(timeout=10)


def test_closing_delivers_what_is_queued(bus: EventBus) -> None:
    """The thread ends when everything is delivered; afterwards nothing is taken."""
    seen: list[int] = []
    bus.subscribe(Counted, lambda e: seen.append(e.number))
    for number in range(5):
        bus.publish(counted(number))
    bus.close(timeout=10)
    bus.publish(counted(6))
    assert seen == [0, 1, 2, 3, 4]
    assert "test-events" not in {thread.name for thread in threading.enumerate()}


async def test_async_callbacks_are_tasks_of_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """An async callback runs on the runtime's loop; its errors are logged too."""
    got: SimpleQueue[tuple[str, int]] = SimpleQueue()
    failed = threading.Event()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            failed.set()

    async def take(event: Counted) -> None:
        got.put((threading.current_thread().name, event.number))
        if event.number == 2:
            raise ValueError(event.number)

    handler = Watch()
    logging.getLogger("understudy.events").addHandler(handler)
    try:
        with Runtime(name="loop") as rt:
            rt.events.subscribe(Counted, take)
            rt.events.publish(counted(1))
            rt.events.publish(counted(2))
            assert got.get(timeout=10) == ("understudy-loop", 1)
            assert got.get(timeout=10) == ("understudy-loop", 2)
            assert failed.wait(timeout=10)
    finally:
        logging.getLogger("understudy.events").removeHandler(handler)


def test_a_run_tells_its_story(runtime: Runtime) -> None:
    """Started, each step dispatched and done, finished: with times, usage and one run id."""
    seen: list[Event] = []
    runtime.events.subscribe(Event, seen.append)
    agent = Agent(FakeModel.echo())
    result = Workflow.sequential("flow", step("a", agent), step("b", str.upper)).run(
        "x", runtime=runtime
    )
    runtime.events.flush(timeout=10)
    kinds = [RunStarted, StepDispatched, StepCompleted, StepDispatched, StepCompleted, RunFinished]
    assert [type(e) for e in seen] == kinds
    assert {e.run_id for e in seen} == {result.run_id}  # type: ignore[attr-defined]
    assert [e.path for e in seen[1:5]] == ["a", "a", "b", "b"]  # type: ignore[attr-defined]
    end = seen[-1]
    assert isinstance(end, RunFinished)
    assert (end.name, end.status, end.error, end.usage) == ("flow", "completed", None, result.usage)
    assert end.duration > 0


def test_events_of_items_say_what_they_are_called(runtime: Runtime) -> None:
    """A reader of events can name an item without knowing the list."""
    seen: list[Event] = []
    runtime.events.subscribe(StepDispatched, seen.append)
    runtime.events.subscribe(StepFailed, seen.append)
    flow = Workflow.dag("flow", step("a", int, each="{input}", on_error="continue"))
    flow.run(["7", "seven"], runtime=runtime)
    runtime.events.flush(timeout=10)
    told = [(type(each), each.path, each.label) for each in seen]  # type: ignore[attr-defined]
    assert told == [
        (StepDispatched, "a[0]", "7"),
        (StepDispatched, "a[1]", "seven"),
        (StepFailed, "a[1]", "seven"),
    ]


def test_failures_are_told_with_their_errors(runtime: Runtime) -> None:
    """A step and a run that fail say why, as data."""
    seen: list[Event] = []
    runtime.events.subscribe(StepFailed, seen.append)
    runtime.events.subscribe(RunFinished, seen.append)
    agent = Agent(FakeModel([ServerError("down")]))
    with pytest.raises(WorkflowError):
        Workflow.sequential("flow", step("a", agent)).run("x", runtime=runtime)
    runtime.events.flush(timeout=10)
    failed, finished = seen
    assert isinstance(failed, StepFailed)
    assert isinstance(finished, RunFinished)
    assert (failed.path, failed.error.type, failed.error.message) == ("a", "ServerError", "down")
    assert finished.status == "failed"
    assert finished.error is not None
    assert finished.error.type == "WorkflowError"


def test_a_run_that_cannot_begin_is_told_too() -> None:
    """A run that is refused has started and failed, for those who count."""
    seen: list[Event] = []
    with Runtime(max_runs=1) as rt:
        rt.events.subscribe(RunStarted, seen.append)
        rt.events.subscribe(RunFinished, seen.append)
        slow = rt.submit(Agent(FakeModel.echo(latency=60), name="slow"), "x")
        with pytest.raises(OverloadedError):
            rt.run(Agent(FakeModel.echo(), name="refused"), "y")
        slow.cancel()
        rt.events.flush(timeout=10)
    assert [(type(e), e.name) for e in seen] == [  # type: ignore[attr-defined]
        (RunStarted, "slow"),
        (RunStarted, "refused"),
        (RunFinished, "refused"),
        (RunFinished, "slow"),
    ]


def test_a_run_gives_its_own_events(runtime: Runtime) -> None:
    """`run.events()` yields what happens to that run, and ends with it."""
    ready = threading.Event()

    def wait() -> None:
        assert ready.wait(timeout=10)

    flow = Workflow.sequential("flow", step("a", wait), step("b", lambda: 1))
    run, other = flow.submit(runtime=runtime), flow.submit(runtime=runtime)
    events = run.events()
    threading.Timer(0.01, ready.set).start()
    seen = list(events)
    assert {e.run_id for e in seen} == {run.run_id}  # type: ignore[attr-defined]
    assert isinstance(seen[-1], RunFinished)
    other.get(timeout=10)
    assert list(run.events()) == []
