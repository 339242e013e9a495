"""Answers of models that are kept: what hits say, what is in their key, what is never kept."""

from typing import Any

import pytest

from understudy import (
    Agent,
    Budget,
    CacheStats,
    Completion,
    ContentFilterError,
    DeadlineExceededError,
    Hooks,
    Price,
    RateLimitError,
    Runtime,
    ServerError,
)
from understudy.messages.agents import AgentSpec
from understudy.messages.chat import AssistantMessage, Message, Usage, UserMessage
from understudy.messages.models import Complete
from understudy.testing import FakeModel, assert_quiet, call


def stats_of(rt: Runtime) -> CacheStats:
    """Of the only cache that there is."""
    (stats,) = rt.caches().values()
    return stats


def test_a_hit_says_so_and_costs_nothing() -> None:
    """It has no usage, no cost and no attempt, and what it saved is counted."""
    fake = FakeModel(["Paris."])
    agent = Agent(fake, cache="10m")
    with Runtime(prices={"fake:*": Price(input=1.0, output=1.0)}) as rt:
        first, second = (rt.run(agent, "Capital of France?") for _ in range(2))
        assert first.cached is None
        assert first.usage.total_tokens > 0
        assert first.cost is not None
        assert first.cost > 0
        assert second.output == "Paris."
        assert second.cached is not None
        assert second.cached.layer == "memory"
        assert second.cached.age >= 0
        assert (second.usage.total_tokens, second.cost, second.attempts) == (0, 0.0, 0)
        assert len(fake.requests) == 1
        stats = stats_of(rt)
        assert (stats.hits, stats.misses, stats.hit_rate) == (1, 1, 0.5)
        assert stats.saved == first.usage
        assert_quiet(rt)


def test_a_hit_takes_nothing_of_a_budget() -> None:
    """A call that is not made is no call."""
    agent = Agent(FakeModel(["once"]), cache="10m", budget=Budget(calls=1))
    budget = Budget(calls=1)
    with Runtime() as rt:
        outputs = [rt.run(agent, "q", budget=budget).output for _ in range(3)]
    assert outputs == ["once"] * 3


def test_without_a_cache_nothing_is_kept_and_no_cache_is_made() -> None:
    """It is off unless asked for; `False` turns it off where a default is on."""
    fake = FakeModel.echo()
    with Runtime() as rt:
        for _ in range(2):
            assert rt.run(Agent(fake, temperature=0.0), "q").cached is None
        assert rt.caches() == {}
    with Runtime(cache="10m") as rt:
        for _ in range(2):
            assert rt.run(Agent(fake, temperature=0.0, cache=False), "q").cached is None
    assert len(fake.requests) == 4


def test_everything_that_shapes_the_answer_is_in_the_key() -> None:
    """Two calls that differ in any of it are two calls; the same in all of it is one."""
    fake = FakeModel.echo()
    history: tuple[Message, ...] = (UserMessage(content="a"), AssistantMessage(content="b"))
    other: tuple[Message, ...] = (UserMessage(content="a"), AssistantMessage(content="c"))
    agent = Agent(fake, cache="10m")

    def look(x: int) -> int:
        """Look."""
        return x

    def look_up(x: int) -> int:
        """Look up."""
        return x

    variants: list[dict[str, Any]] = [
        {},
        {"temperature": 0.0},
        {"temperature": 0.5},
        {"max_tokens": 9},
        {"stop": ("x",)},
        {"seed": 1},
        {"instructions": "be brief"},
        {"instructions": "be long"},
        {"history": history},
        {"history": other},
        {"tools": (look,)},
        {"tools": (look_up,)},
        {"extra": {"k": 1}},
        {"extra": {"k": "1"}},
        {"extra": {"k": 1.0}},
        {"extra": {"k": True}},
        {"tenant": "a"},
        {"tenant": "b"},
    ]
    with Runtime() as rt:
        for _ in range(2):
            for options in variants:
                rt.run(agent, "q", **options)
        assert len(fake.requests) == len(variants)
        rt.run(agent, "q", extra={"b": 1, "a": 2})
        assert rt.run(agent, "q", extra={"a": 2, "b": 1}).cached is not None
        another = FakeModel.echo()
        assert rt.run(agent, "q", model=another).cached is None


def test_two_accounts_share_no_answers() -> None:
    """Address and key tell accounts apart, and the key itself is nowhere to be found."""
    with Runtime() as rt:
        found = {
            rt.crew.models.find(AgentSpec("openai-compatible:m", base_url=url, api_key=key)).account
            for url in ("http://localhost:1/v1", "http://localhost:2/v1")
            for key in ("first-key", "second-key")
        }
    assert len(found) == 4
    assert all("key" not in account for account in found)


@pytest.mark.parametrize(
    "bad",
    [
        Completion(
            message=AssistantMessage(content="half an ans"),
            finish_reason="length",
            usage=Usage(),
            model="m",
            provider="fake",
        ),
        Completion(
            message=AssistantMessage(content=" \n"),
            finish_reason="stop",
            usage=Usage(),
            model="m",
            provider="fake",
        ),
        Completion(
            message=AssistantMessage(content="I cannot"),
            finish_reason="content_filter",
            usage=Usage(),
            model="m",
            provider="fake",
        ),
        RateLimitError("429", status=429),
        ServerError("500", status=500),
        DeadlineExceededError("late"),
        ContentFilterError("refused"),
    ],
    ids=["truncated", "empty", "filtered", "429", "500", "timeout", "refused"],
)
def test_what_is_no_whole_answer_is_never_kept(bad: Completion | Exception) -> None:
    """The next call asks again."""
    asked = 0

    class Model(FakeModel):
        async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
            nonlocal asked
            asked += 1
            if isinstance(bad, Completion):
                return bad
            raise bad

    with Runtime() as rt:
        agent = Agent(Model.echo(), cache="10m", retries=0)
        for number in (1, 2):
            try:
                assert rt.run(agent, "q").cached is None
            except (RateLimitError, ServerError, DeadlineExceededError, ContentFilterError):
                assert not isinstance(bad, Completion) or bad.finish_reason == "content_filter"
            assert asked == number
        assert stats_of(rt).size == 0


def test_a_caller_cannot_change_what_others_get() -> None:
    """Arguments of tool calls are dictionaries: each caller has its own."""

    def look(x: list[int]) -> str:
        """Look."""
        return str(x)

    changed = 0

    def spoil(request: Complete, completion: Completion) -> None:
        nonlocal changed
        for made in completion.message.tool_calls:
            made.arguments["x"].append(9)
            changed += 1

    fake = FakeModel(
        lambda messages: "done" if len(messages) > 1 else [call("look", x=[1])],
    )
    plain = Agent(fake, cache="10m", tools=[look])
    with Runtime() as rt:
        rt.run(plain, "q", hooks=Hooks(after_model=spoil))
        rt.run(plain, "q", hooks=Hooks(after_model=spoil))
        result = rt.run(plain, "q")
    assert changed == 2
    assert result.tool_calls[0].arguments == {"x": [1]}
