"""No session and no tenant ever sees another one's words, in whatever order things happen."""

import asyncio
import contextlib
import re
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy import (
    Agent,
    AssistantMessage,
    Memory,
    RunCancelledError,
    Runtime,
    ToolMessage,
    UserMessage,
)
from understudy.messages.chat import Message, text_of
from understudy.testing import FakeModel, SimRuntime, call

TENANTS, SESSIONS = ("acme", ""), ("alice", "bob")
WORD = re.compile(r"\w+-\w+-\d+")


def words(messages: tuple[Message, ...]) -> list[str]:
    """What can be told apart, in order: tenant-session-number."""
    return WORD.findall(" ".join(text_of(each) for each in messages))


def whose(tenant: str, session: str) -> str:
    """How the words of a session begin."""
    return f"{tenant or 'none'}-{session}-"


class Witness:
    """A model that answers with the last word it heard, after a while; and what it was told."""

    def __init__(self, *, slow: bool) -> None:
        self.slow = slow
        self.crossings = 0
        self.heard = 0
        self.model = FakeModel(self._answer)

    async def _answer(self, messages: tuple[Message, ...]) -> str:
        told = words(messages)
        self.heard += 1
        self.crossings += len({word.rpartition("-")[0] for word in told}) != 1
        if self.slow:
            await asyncio.sleep(len(told) % 3)
        return f"heard {told[-1]}"


moves = st.lists(
    st.tuples(
        st.sampled_from(("run", "run", "run", "append", "clear", "erase", "tick")),
        st.sampled_from(TENANTS),
        st.sampled_from(SESSIONS),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(moves, st.sampled_from((None, 1, 2, 5)), st.integers(1, 4))
def test_random_interleavings_never_cross(
    plan: list[tuple[str, str, str]], limit: int | None, max_sessions: int
) -> None:
    """Runs, appends, clears and erasures of two tenants with two sessions each."""
    witness, memory = Witness(slow=False), Memory(max_sessions=max_sessions)
    agent = Agent(witness.model, memory=memory, history_limit=limit)

    async def main() -> None:
        async with Runtime() as rt:
            tasks = []
            work: Coroutine[Any, Any, Any]  # Any: what each verb gives
            for number, (move, tenant, session) in enumerate(plan):
                word = f"{whose(tenant, session)}{number}"
                match move:
                    case "run":
                        work = agent.arun(word, tenant=tenant, session=session, runtime=rt)
                    case "append":
                        said = UserMessage(content=word)
                        work = memory.aappend(session, said, tenant=tenant, runtime=rt)
                    case "clear":
                        work = memory.aclear(session, tenant=tenant, runtime=rt)
                    case "erase":
                        work = memory.aerase(tenant, runtime=rt)
                    case _:
                        await asyncio.sleep(0)
                        continue
                tasks.append(asyncio.ensure_future(work))
            await asyncio.gather(*tasks)
            for tenant in TENANTS:
                for session in SESSIONS:
                    kept = await memory.ahistory(session, tenant=tenant, runtime=rt)
                    assert all(word.startswith(whose(tenant, session)) for word in words(kept))

    asyncio.run(main())
    assert witness.crossings == 0
    assert witness.heard == sum(move == "run" for move, _, _ in plan)


@pytest.mark.parametrize("seed", range(40))
def test_what_tools_did_is_never_forgotten(seed: int) -> None:
    """Whenever a run is cancelled: its turn is whole, or nothing has happened in it."""
    acted: list[str] = []

    async def act(word: str) -> str:
        """Act."""
        acted.append(word)
        return "acted"

    async def answer(messages: tuple[Message, ...]) -> Any:  # Any: a text, or calls
        last = messages[-1]
        if isinstance(last, UserMessage):
            return [call("act", word=last.content)]
        return "done"

    agent = Agent(FakeModel(answer), tools=[act])

    async def main(rt: Runtime) -> None:
        draw = rt.system.random
        for number in range(6):
            run = rt.submit(agent, f"w{number}", session="s")
            for _ in range(draw.randrange(30)):
                await asyncio.sleep(0)
            run.cancel()
            with contextlib.suppress(RunCancelledError):
                await run
        await agent.arun("last", session="s", runtime=rt)  # behind all of them
        kept = await rt.memory.ahistory("s", runtime=rt)
        turns = [kept[at : at + 4] for at in range(0, len(kept), 4)]
        for user, calls, result, end in turns:
            assert isinstance(user, UserMessage)
            assert isinstance(calls, AssistantMessage)
            assert isinstance(result, ToolMessage)
            assert result.content in ("acted", "[no result: RunCancelledError]")
            assert end.content in ("done", "[no answer: RunCancelledError]")
            assert result.content != "acted" or user.content in acted
        assert set(acted) <= {turn[0].content for turn in turns}

    SimRuntime(seed).run(main)


@pytest.mark.parametrize("seed", range(12))
def test_turns_in_simulated_time(seed: int) -> None:
    """Whichever actor runs next: turns of a session one after the other, actors let go and made."""
    witness = Witness(slow=True)
    agent = Agent(witness.model)
    sim = SimRuntime(seed)
    begun: dict[str, list[str]] = defaultdict(list)

    async def main(rt: Runtime) -> None:
        draw = rt.system.random

        async def talk(number: int, tenant: str, session: str) -> None:
            await asyncio.sleep(draw.choice((0.0, 1.0, 59.9, 60.0, 60.1, 121.0)))
            word = f"{whose(tenant, session)}{number}"
            begun[whose(tenant, session)].append(word)
            result = await agent.arun(word, tenant=tenant, session=session, runtime=rt)
            assert result.output == f"heard {word}"

        who = [(t, s) for t in TENANTS for s in SESSIONS]
        async with asyncio.TaskGroup() as group:
            for number in range(24):
                group.create_task(talk(number, *who[number % 4]))
        for tenant, session in who:
            kept = words(await rt.memory.ahistory(session, tenant=tenant, runtime=rt))
            assert kept == [each for word in begun[whose(tenant, session)] for each in (word, word)]

    sim.run(main)
    assert witness.crossings == 0
