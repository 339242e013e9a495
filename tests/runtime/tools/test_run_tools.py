import asyncio
import functools
import threading
from typing import Annotated, Any, Literal

import msgspec
import pytest

from understudy import (
    RunContext,
    Runtime,
    ToolCall,
    ToolError,
    WouldDeadlockError,
    arun_tools,
    run_tools,
    tool,
)
from understudy.messages.errors import UnhandledMessageError
from understudy.testing import assert_quiet

pytestmark = pytest.mark.anyio


class City(msgspec.Struct):
    name: str
    people: int = 0


def call(name: str, /, id: str = "1", **arguments: Any) -> ToolCall:
    """A call as a model would make it."""
    return ToolCall(id=id, name=name, arguments=arguments)


@tool
async def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def greet(name: str, style: Literal["short", "long"] = "short") -> str:
    """Greet somebody."""
    return f"{style} hello, {name}"


async def settle(city: City, more: Annotated[int, msgspec.Meta(ge=0)]) -> City:
    """Let people settle in a city."""
    city.people += more
    return city


class Shop:
    def __init__(self) -> None:
        self.sold: list[str] = []

    @tool(max_concurrent=1)
    def sell(self, what: str) -> int:
        """Sell something."""
        self.sold.append(what)
        return len(self.sold)

    @tool
    @staticmethod
    def open_at(day: str) -> str:
        """When it opens."""
        return f"{day}: 9"

    def price(self, what: str) -> str:
        return f"{what}: {len(what)}"


def test_results_come_in_the_order_of_the_calls(runtime: Runtime) -> None:
    """Each call has one result at its place, with its id, its value and its text."""
    calls = [call("greet", "x", name="Ann"), call("add", "y", a=1), call("add", "z", a=1, b=2)]
    results = run_tools(calls, [add, greet], runtime=runtime)
    assert [(r.call_id, r.name, r.content, r.error) for r in results] == [
        ("x", "greet", "short hello, Ann", None),
        ("y", "add", "2", None),
        ("z", "add", "3", None),
    ]
    assert [r.value for r in results] == ["short hello, Ann", 2, 3]
    assert all(r.attempts == 1 and r.duration >= 0 for r in results)
    assert_quiet(runtime)


def test_methods_partials_and_structs(runtime: Runtime) -> None:
    """Methods, decorated or not, partials and typed arguments are called as they are declared."""
    shop = Shop()
    loud = functools.partial(greet, style="long")
    results = run_tools(
        [
            call("sell", what="tea"),
            call("sell", what="cup"),
            call("price", what="tea"),
            call("greet", name="Bob"),
            call("open_at", day="Monday"),
            call("settle", city={"name": "Ulm", "people": 5}, more=2),
        ],
        [shop.sell, shop.price, shop.open_at, loud, settle],
        runtime=runtime,
    )
    assert [r.error for r in results] == [None] * 6
    assert {r.value for r in results[:2]} == {1, 2}
    assert results[2].content == "tea: 3"
    assert results[3].content == "long hello, Bob"
    assert results[4].content == "Monday: 9"
    assert results[5].value == City("Ulm", 7)
    assert results[5].content == '{"name":"Ulm","people":7}'


def test_a_tool_is_still_its_function() -> None:
    """Calling it directly is calling the function."""
    assert asyncio.run(add(1, b=4)) == 5
    assert Shop().sell("tea") == 1


def test_the_context_is_injected_by_its_annotation(runtime: Runtime) -> None:
    """Whatever its name and place; the model neither sees nor gives it."""

    def first(run: RunContext, n: int) -> str:
        return f"{type(run).__name__} {n}"

    async def last(n: int, *, c: RunContext | None = None) -> str:
        return f"{type(c).__name__} {n}"

    results = run_tools([call("first", n=1), call("last", n=2)], [first, last], runtime=runtime)
    assert [r.content for r in results] == ["RunContext 1", "RunContext 2"]
    sent = run_tools([call("first", n=1, run={})], [first], runtime=runtime)[0]
    assert "run: there is no such argument" in str(sent.error)


async def test_async_twin_on_a_hosted_loop_and_from_a_foreign_one() -> None:
    """`arun_tools` works on the runtime's own loop and on any other."""
    async with Runtime() as rt:
        assert (await arun_tools([call("add", a=1)], [add], runtime=rt))[0].value == 2
        with pytest.raises(WouldDeadlockError, match="arun_tools"):
            run_tools([call("add", a=1)], [add], runtime=rt)
    with Runtime() as rt:
        assert (await arun_tools([call("add", a=1)], [add], runtime=rt))[0].value == 2


async def test_cancelling_the_caller_cancels_the_calls(runtime: Runtime) -> None:
    """A task that awaits `arun_tools` on a foreign loop takes the calls with it."""
    began, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(arun_tools([call("wait")], [wait], runtime=runtime))
    assert await asyncio.to_thread(began.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 10)


def test_actors_are_reused(runtime: Runtime) -> None:
    """As many as calls at a time, however they end."""

    async def fail() -> None:
        raise ValueError

    def block() -> None:
        raise ValueError

    for _ in range(5):
        run_tools(
            [call("fail"), call("block"), call("add", a=1)], [fail, block, add], runtime=runtime
        )
    tree = str(runtime.tree())
    assert tree.count("(InlineToolActor)") <= 3
    assert tree.count("(ThreadToolActor)") == 1


def test_threads_do_not_accumulate() -> None:
    """Blocking tools share the threads there are, and none of them is the loop's."""

    def where() -> str:
        return threading.current_thread().name

    with Runtime(name="few", threads=2) as rt:
        calls = [call("where", str(n)) for n in range(50)]
        names = {r.value for r in run_tools(calls, [where], runtime=rt, max_concurrent=20)}
        assert names <= {"understudy-few-tools-1", "understudy-few-tools-2"}


def test_a_plain_function_that_returns_something_to_await(runtime: Runtime) -> None:
    """On a thread nobody can await it, and the remedy is told; inline it is awaited."""

    def later(a: int) -> Any:
        return add(a)

    (result,) = run_tools([call("later", a=1)], [later], runtime=runtime)
    assert "declared with isolation='inline'" in str(result.error)
    inline = tool(isolation="inline")(later)
    assert run_tools([call("later", a=1)], [inline], runtime=runtime)[0].value == 2


def test_an_object_that_cannot_be_hashed_is_a_tool(runtime: Runtime) -> None:
    """It is known by itself, and its bounds hold."""

    class Counter:
        __hash__ = None  # type: ignore[assignment]

        def __init__(self) -> None:
            self.count = 0

        def __call__(self, step: int) -> int:
            self.count += step
            return self.count

    counter = tool(name="counter", max_concurrent=1)(Counter())
    for expected in (2, 4):
        (result,) = run_tools([call("counter", step=2)], [counter], runtime=runtime)
        assert result.value == expected


def test_failures_are_data(runtime: Runtime) -> None:
    """A ToolError's text goes out verbatim, others with their type; nothing is raised."""

    def told() -> None:
        raise ToolError("No city of that name.")

    async def broken() -> None:
        raise ValueError("boom")

    def leaving() -> None:
        raise SystemExit(3)

    async def out_of_memory() -> None:
        raise MemoryError

    async def cancelled() -> None:
        raise asyncio.CancelledError

    def exhausted() -> None:
        raise StopIteration("empty")

    async def misdirected() -> None:
        raise UnhandledMessageError("nobody")

    tools = [told, broken, leaving, out_of_memory, cancelled, exhausted, misdirected]
    results = run_tools([call(each.__name__) for each in tools], tools, runtime=runtime)
    assert [r.error for r in results] == [
        "No city of that name.",
        "ValueError: boom",
        "SystemExit: 3",
        "MemoryError",
        "CancelledError",
        "StopIteration: empty",
        "UnhandledMessageError: nobody",
    ]
    assert [r.content for r in results] == [r.error for r in results]
    assert_quiet(runtime)
