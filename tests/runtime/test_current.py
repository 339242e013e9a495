import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from understudy import Actor, Agent, ConfigError, Runtime, Workflow, step
from understudy.runtime.current import current_runtime
from understudy.testing import FakeModel

pytestmark = pytest.mark.anyio
ECHO = Agent(FakeModel.echo())


def run_in_thread(function: object) -> object:
    """What a function gives on a thread that knows nothing."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=10)  # type: ignore[arg-type]


def who() -> str:
    """The name of the runtime that would be used here."""
    return current_runtime().name


def test_rule_1_the_given_runtime() -> None:
    """`runtime=` and `rt.run` win over the innermost block."""
    with Runtime(name="outer") as outer, Runtime(name="inner") as inner:
        ECHO.run("x", runtime=outer)
        outer.run(ECHO, "x")
        assert inner.ledger.accepted == 0
        assert outer.ledger.accepted > 0


def test_rule_2_inside_a_step_the_runtime_that_called_it() -> None:
    """A step's function on a thread uses the runtime that runs it, whatever else is entered."""
    names: list[str] = []
    flow = Workflow.sequential(
        "w", step("sync", lambda: names.append(who())), step("async", _note(names))
    )
    with Runtime(name="one") as one, Runtime(name="two"):
        flow.run(runtime=one)
    assert names == ["one", "one"]


def _note(names: list[str]) -> Callable[[], Awaitable[None]]:
    async def note() -> None:
        await asyncio.sleep(0)
        names.append(who())

    return note


def test_rule_2_inside_a_handler_the_runtime_of_the_actor() -> None:
    """An actor's handler, sync or async, uses its own runtime."""

    class Async(Actor):
        async def on_receive(self, message: str) -> str:
            return who()

    class Sync(Actor):
        def on_receive(self, message: str) -> str:
            return f"{who()}: {ECHO.run('hi').output}"

    with Runtime(name="one") as one, Runtime(name="two"):
        assert one.spawn(Async).ask("?") == "one"
        assert one.spawn(Sync).ask("?") == "one: echo: hi"


def test_rule_3_the_innermost_block() -> None:
    """Blocks nest, and leaving one brings back the one around it."""
    with Runtime(name="outer"):
        with Runtime(name="inner"):
            assert who() == "inner"
        assert who() == "outer"


async def test_rule_3_each_task_has_its_own_blocks() -> None:
    """Two tasks that are each in a block of their own do not see each other's."""
    inside = asyncio.Barrier(2)

    async def enter(name: str) -> str:
        async with Runtime(name=name):
            await inside.wait()
            found = who()
            await inside.wait()
            return found

    assert tuple(await asyncio.gather(enter("a"), enter("b"))) == ("a", "b")


def test_rule_4_the_only_one_whatever_the_thread() -> None:
    """A thread that knows nothing finds the one runtime that is running."""
    with Runtime(name="only"):
        assert run_in_thread(who) == "only"
        assert run_in_thread(lambda: ECHO.run("x").output) == "echo: x"


def test_rule_4_several_are_an_error_that_names_them() -> None:
    """With two runtimes a thread that knows nothing has to say which one it means."""
    with Runtime(name="red"), Runtime(name="blue"):
        with pytest.raises(ConfigError, match=r"several.*\(blue, red\).*runtime="):
            run_in_thread(who)
        with pytest.raises(ConfigError, match="several"):
            run_in_thread(lambda: ECHO.run("x"))


def test_rule_4_a_stopped_one_does_not_count() -> None:
    """Only what is running is a candidate, also for a block that was stopped by hand."""
    with Runtime(name="first") as first, Runtime(name="second") as second:
        second.stop()
        assert who() == "first"
        assert run_in_thread(who) == "first"
        assert first.is_running
        assert not second.is_running


@pytest.mark.default_runtime
def test_rule_5_the_process_default() -> None:
    """Without any runtime the default is made, once, and a runtime of one's own hides it."""
    default = current_runtime()
    assert default.name == "default"
    assert ECHO.run("x").output == "echo: x"
    assert current_runtime() is default
    assert run_in_thread(who) == "default"
    with Runtime(name="mine"):
        assert who() == "mine"
        assert run_in_thread(who) == "mine"


async def test_a_notebook_blocks_its_own_thread_only(runtime: Runtime) -> None:
    """On a thread with a foreign running loop, a blocking run works on the runtime's own loop."""
    assert asyncio.get_running_loop() is not runtime.system.loop
    assert ECHO.run("x", runtime=runtime).output == "echo: x"
    assert (await ECHO.arun("y", runtime=runtime)).output == "echo: y"
    assert [r.output for r in ECHO.map(["a", "b"], runtime=runtime)] == ["echo: a", "echo: b"]
    with ECHO.stream("s", runtime=runtime) as stream:
        assert stream.collect() == "echo: s"


def test_a_block_may_be_left_elsewhere_than_it_was_entered() -> None:
    """Entering in one context and leaving in another, as cells of a notebook do, stops it too."""
    rt = Runtime(name="cells")
    thread = threading.Thread(target=rt.__enter__)
    thread.start()
    thread.join()
    assert rt.run(ECHO, "x").output == "echo: x"
    rt.__exit__(None, None, None)
    assert not rt.is_running
