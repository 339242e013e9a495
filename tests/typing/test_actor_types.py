"""What type checkers say about actors: mypy and basedpyright both read this file."""

import pykka
import pytest

from understudy import Actor, Runtime

pytestmark = pytest.mark.anyio


class Async(Actor):
    """Every method async: no excuse to the type checker is needed."""

    async def on_start(self) -> None:
        """Begin."""
        self.heard = ["start"]

    async def on_receive(self, message: str) -> list[str]:
        """Note it."""
        self.heard.append(message)
        return self.heard

    async def on_stop(self) -> None:
        """End."""
        self.heard.append("stop")


class Sync(Actor):
    """Every method sync, with the same names."""

    def on_start(self) -> None:
        """Begin."""
        self.heard = ["start"]

    def on_receive(self, message: str) -> list[str]:
        """Note it."""
        self.heard.append(message)
        return self.heard

    def on_stop(self) -> None:
        """End."""
        self.heard.append("stop")


async def test_hooks_may_be_async_or_not() -> None:
    """Both spellings check under mypy --strict and basedpyright, and are pykka's actors anyway."""
    async with Runtime() as rt:
        for kind in (Async, Sync):
            ref = await rt.aspawn(kind)
            heard = await ref.request("hello")
            await ref.stop()
            assert heard == ["start", "hello", "stop"]
    assert pykka.Actor in Async.__mro__
