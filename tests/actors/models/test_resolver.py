import asyncio
import threading

import pytest

from understudy.actors.models.resolver import Resolver

pytestmark = pytest.mark.anyio


async def test_lookups_of_one_name_share_a_thread() -> None:
    """A burst costs one lookup, and one caller who gives up does not take it away."""
    asked: list[str] = []
    go = threading.Event()

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        go.wait(5)
        return ["192.0.2.1"]

    resolver = Resolver(lookup)
    tasks = [asyncio.create_task(resolver.resolve("name.test", 80)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    go.set()
    assert await tasks[1] == await tasks[2] == ["192.0.2.1"]
    assert asked == ["name.test"]
    assert await resolver.resolve("name.test", 80) == ["192.0.2.1"]
    assert asked == ["name.test", "name.test"]


async def test_literal_addresses_are_not_looked_up() -> None:
    """They need no thread."""

    def lookup(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    resolver = Resolver(lookup)
    assert await resolver.resolve("127.0.0.1", 80) == ["127.0.0.1"]
    assert await resolver.resolve("::1", 80) == ["::1"]


async def test_a_name_that_does_not_exist() -> None:
    """The system's error comes back as it is, and the next caller asks anew."""

    def lookup(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    resolver = Resolver(lookup)
    for _ in range(2):
        with pytest.raises(OSError, match="not known"):
            await resolver.resolve("nowhere.test", 80)


async def test_no_executor_is_used() -> None:
    """A lookup that hangs must not keep the interpreter from exiting: its thread is a daemon."""
    inside = threading.Event()
    thread: list[threading.Thread] = []

    def lookup(host: str, port: int) -> list[str]:
        thread.append(threading.current_thread())
        inside.set()
        return ["192.0.2.1"]

    await Resolver(lookup).resolve("name.test", 80)
    assert inside.is_set()
    assert thread[0].daemon
