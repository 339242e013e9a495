"""What a run that is cancelled leaves to those after it: its actor, and its place."""

from typing import TYPE_CHECKING

import pytest

from understudy import Agent, RunCancelledError, Runtime
from understudy.testing import FakeModel

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio


async def test_its_actor_is_used_again(gate: "Gate") -> None:
    """However many are cancelled one after the other, there is one actor for all of them."""
    async with Runtime() as rt:
        for number in range(5):
            run = rt.submit(Agent(FakeModel(gate)), "?")
            await gate.auntil(waiting=1)
            run.cancel()
            await gate.auntil(cancelled=number + 1)
            with pytest.raises(RunCancelledError, match=r"the request to /.* was cancelled"):
                await run
        actors = [cell for cell in rt.system.cells() if "/agents/AgentActor" in cell.path]
        assert len(actors) == 1


async def test_its_place_is_free(gate: "Gate") -> None:
    """One run at a time of this name: the next one gets its turn."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), name="one", max_concurrent=1)
        run = rt.submit(agent, "?")
        await gate.auntil(waiting=1)
        run.cancel()
        await gate.auntil(cancelled=1)
        following = rt.submit(agent, "?")
        await gate.auntil(waiting=1)
        gate.open("done")
        assert (await following).output == "done"
