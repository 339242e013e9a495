"""Answers of models that are kept: what hits say, what is shared, what never is."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from understudy import (
    Agent,
    Budget,
    BudgetExceededError,
    Cache,
    CacheStats,
    Completion,
    ConfigError,
    ContentFilterError,
    DeadlineExceededError,
    Hooks,
    Price,
    RateLimitError,
    RunCancelledError,
    Runtime,
    ServerError,
    StreamError,
    TextDelta,
    ToolCall,
    WouldDeadlockError,
    tool,
)
from understudy.actors.kernel.faults import Fault, Faults
from understudy.messages.agents import AgentSpec
from understudy.messages.caches import CacheSpec
from understudy.messages.chat import AssistantMessage, Message, Usage, UserMessage
from understudy.messages.codec import decode, encode
from understudy.messages.models import Complete
from understudy.runtime.config.load import load_config
from understudy.testing import FakeModel, ManualClock, SimRuntime, assert_quiet, call

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio


def stats_of(rt: Runtime) -> CacheStats:
    """Of the only cache that there is."""
    (stats,) = rt.caches().values()
    return stats


async def turns(count: int = 40) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


# -- what a hit says -------------------------------------------------------------------------------


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


# -- what is never kept ----------------------------------------------------------------------------


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


# -- single flight ---------------------------------------------------------------------------------


async def test_a_thousand_identical_asks_make_one_call(gate: "Gate") -> None:
    """One pays, the others share; all have the answer."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        runs = [rt.submit(agent, "q") for _ in range(1000)]
        await gate.auntil(arrived=1)
        await turns()
        gate.open("here")
        results = [await run for run in runs]
        assert gate.arrived == 1
        assert {result.output for result in results} == {"here"}
        paid = [result for result in results if result.cached is None]
        assert len(paid) == 1
        assert sum(result.usage.total_tokens for result in results) == paid[0].usage.total_tokens
        shared = next(result.cached for result in results if result.cached is not None)
        assert shared.layer == "flight"
        stats = (await rt.acaches())["answers-1"]
        assert (stats.shared, stats.misses, stats.in_flight) == (999, 1, 0)


async def test_errors_are_shared_and_asked_for_once() -> None:
    """A failing call fails for all who wait, in their own error objects; the next asks anew."""
    entered = asyncio.Event()
    asked = 0

    async def fail(messages: tuple[Message, ...]) -> str:
        nonlocal asked
        asked += 1
        await entered.wait()
        raise ServerError("down", status=500)

    async with Runtime() as rt:
        agent = Agent(FakeModel(fail), cache="10m", retries=0)
        runs = [rt.submit(agent, "q") for _ in range(20)]
        await turns()
        entered.set()
        errors = []
        for run in runs:
            with pytest.raises(ServerError, match="down") as caught:
                await run
            errors.append(caught.value)
        assert asked == 1
        assert len({id(error) for error in errors}) == 20
        assert len({error.run_id for error in errors}) == 20
        assert sum(error.attempts for error in errors) == 1, "the others have not asked"
        with pytest.raises(ServerError):
            await rt.arun(agent, "q")
        assert asked == 2


async def test_a_follower_that_leaves_ends_the_call_for_nobody(gate: "Gate") -> None:
    """Not the follower's cancel, and not that of the one who came first."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        first, second, third = (rt.submit(agent, "q") for _ in range(3))
        await gate.auntil(arrived=1)
        await turns()
        second.cancel()
        first.cancel()
        await turns()
        assert (gate.arrived, gate.cancelled) == (1, 0)
        gate.open("here")
        result = await third
        assert result.output == "here"
        assert result.usage.total_tokens > 0, "who is left pays"
        for run in (first, second):
            with pytest.raises(RunCancelledError):
                await run


async def test_the_last_one_to_leave_cancels_the_call(gate: "Gate") -> None:
    """Nobody waits, nobody asks; the next one does."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        runs = [rt.submit(agent, "q") for _ in range(3)]
        await gate.auntil(arrived=1)
        await turns()
        for run in runs:
            run.cancel()
        await gate.auntil(cancelled=1)
        again = rt.submit(agent, "q")
        await gate.auntil(arrived=2)
        gate.open("again")
        assert (await again).output == "again"


async def test_every_follower_has_its_own_deadline(gate: "Gate") -> None:
    """One that is over ends for itself; one that is longer outlives that of the first."""
    clock = ManualClock()
    async with Runtime(clock=clock) as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        first = rt.submit(agent, "q", timeout=5)
        short = rt.submit(agent, "q", timeout=2)
        long = rt.submit(agent, "q", timeout=60)
        await gate.auntil(arrived=1)
        await turns()
        for seconds, run in ((3, short), (3, first)):
            clock.advance(seconds)
            await turns()
            with pytest.raises(DeadlineExceededError):
                await run
        assert not long.reply.done
        gate.open("late")
        assert (await long).output == "late"
        assert gate.arrived == 1


async def test_a_dead_leader_promotes_one_follower(gate: "Gate") -> None:
    """When the model's actor is killed, somebody who is left has the call made again, once."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        runs = [rt.submit(agent, "q") for _ in range(4)]
        await gate.auntil(arrived=1)
        await turns()
        await rt.crew.models.find(agent).ref.restart()
        await gate.auntil(arrived=2)
        gate.open("again")
        ended = await asyncio.gather(*(_ended(run) for run in runs))
        assert sorted(map(str, ended))[:3] == ["again"] * 3
        assert gate.arrived == 2


async def _ended(run: Any) -> Any:
    try:
        return (await run).output
    except Exception as error:  # noqa: BLE001 - it is what is looked at
        return f"~{type(error).__name__}"


async def test_a_call_that_asks_itself_does_not_wait_for_itself() -> None:
    """An agent whose tool runs the same agent with the same prompt makes the inner call anew."""
    depth = 0

    async def again() -> str:
        """Ask again."""
        nonlocal depth
        depth += 1
        return str((await rt.arun(inner, "q")).output) if depth < 3 else "deep"

    async def think(messages: tuple[Message, ...]) -> str:
        return await again()

    inner = Agent(FakeModel(think), cache="10m")
    async with Runtime() as rt:
        async with asyncio.timeout(10):
            assert (await rt.arun(inner, "q")).output == "deep"


async def test_one_who_may_not_ask_leaves_it_to_the_next() -> None:
    """A budget that is used up ends its own run; the others have the call made."""
    spent = Budget(calls=1)
    async with Runtime() as rt:
        await rt.arun(Agent(FakeModel.echo()), "other", budget=spent)
        agent = Agent(FakeModel.echo(), cache="10m")
        first, second = rt.submit(agent, "q", budget=spent), rt.submit(agent, "q")
        with pytest.raises(BudgetExceededError):
            await first
        assert (await second).output == "echo: q"


async def test_a_cache_that_dies_takes_no_run_along(gate: "Gate") -> None:
    """Whoever waits for it does without; what follows finds it again."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        run = rt.submit(agent, "q")
        await gate.auntil(arrived=1)
        ref = rt.crew.caches.ref_of("answers", Cache(ttl="10m"))
        await ref.restart()
        await gate.auntil(arrived=2)
        gate.open("here", count=2)
        assert (await run).output == "here"
        await ref.kill()
        for cached in (False, True):
            again = rt.submit(agent, "again")
            if not cached:
                await gate.auntil(arrived=3)
                gate.open("again")
            assert ((await again).cached is not None) == cached


CACHES = "/system/caches/*"


@pytest.mark.parametrize(
    "plan",
    [
        Faults(),
        Faults(crash=Fault(CACHES, chance=0.2)),
        Faults(crash=Fault("/system/models/*", chance=0.2)),
        Faults(drop_reply=Fault(CACHES, chance=0.1)),
        Faults(slow=Fault("/system/models/*", chance=0.3, seconds=(1, 60))),
        Faults(full_mailbox=Fault(CACHES, chance=0.2)),
    ],
    ids=["none", "crash", "dead models", "drop_reply", "slow", "full"],
)
def test_every_run_ends_whatever_goes_wrong(plan: Faults) -> None:
    """With an answer to its own question or an error; nothing is left behind."""

    @tool(cache="5m", effects="none", timeout=30)
    async def look(x: int) -> int:
        """Look."""
        await asyncio.sleep(x)
        return x

    async def think(messages: tuple[Message, ...]) -> Any:
        await asyncio.sleep(1)
        last = messages[-1]
        if isinstance(last, UserMessage) and str(last.content).startswith("tool"):
            return call("look", x=2)
        return f"-> {messages[0].content}"

    async def main(rt: Runtime) -> list[Any]:
        agent = Agent(FakeModel(think), cache=Cache(semantic="strict"), tools=[look], timeout=100)
        runs = [
            rt.submit(agent, prompt, timeout=None if number % 3 else 2.0 + number)
            for number, prompt in enumerate(["Explain it", "explain it.", "tool", "tool"] * 6)
        ]
        for run in runs[::5]:
            run.cancel()
        return [await _ended(run) for run in runs]

    for seed in range(8):
        outputs = SimRuntime(seed, faults=plan).run(main)
        for number, output in enumerate(outputs):
            prompt = ("Explain it", "explain it.", "tool", "tool")[number % 4]
            if not output.startswith("~"):
                assert output.lower().rstrip(".") == f"-> {prompt}".lower().rstrip(".")
        if plan == Faults():
            assert sum(output.startswith("-> ") for output in outputs) >= 15


# -- streams ---------------------------------------------------------------------------------------


def test_a_streamed_answer_is_replayed_chunk_by_chunk() -> None:
    """The copy is taken while it runs; what comes again comes in the same pieces."""
    fake = FakeModel(lambda _: iter(["one ", "two ", "three"]))
    agent = Agent(fake, cache="10m")
    with Runtime() as rt:
        said = []
        for _ in range(2):
            with rt.stream(agent, "q", flush_interval=0) as stream:
                chunks = list(stream)
                said.append([each.delta for each in chunks if isinstance(each, TextDelta)])
            assert stream.result.text == "one two three"
        assert stream.result.cached is not None
        assert stream.result.time_to_first_token is not None
        assert rt.run(agent, "q").output == "one two three"
    assert said == [["one ", "two ", "three"]] * 2
    assert len(fake.requests) == 1


def test_an_answer_that_was_not_streamed_is_streamed_from_the_cache() -> None:
    """And the other way round: one entry for both."""
    fake = FakeModel(["whole"])
    agent = Agent(fake, cache="10m")
    with Runtime() as rt:
        rt.run(agent, "q")
        with rt.stream(agent, "q") as stream:
            assert stream.collect() == "whole"


@pytest.mark.parametrize("retain", ["tail", "none"])
def test_streams_that_keep_little_are_not_copied(retain: Any) -> None:
    """Whoever does not want the text in memory does not get it there by the cache."""
    fake = FakeModel.echo()
    agent = Agent(fake, cache="10m")
    with Runtime() as rt:
        for _ in range(2):
            with rt.stream(agent, "q", retain=retain) as stream:
                assert stream.collect() == "echo: q"
        assert len(fake.requests) == 2


async def test_followers_read_a_stream_while_it_is_made() -> None:
    """From its beginning, at their own pace; also when whoever began it has gone."""
    steps = [asyncio.Event() for _ in range(3)]

    async def speak(messages: tuple[Message, ...]) -> Any:
        async def tokens() -> Any:
            for number, step in enumerate(steps):
                yield f"{number} "
                await step.wait()

        return tokens()

    async with Runtime() as rt:
        fake = FakeModel(speak)
        agent = Agent(fake, cache="10m")
        first = rt.stream(agent, "q", flush_interval=0)
        async with rt.stream(agent, "q", flush_interval=0) as second:
            heard = []
            await turns()
            async for chunk in second:
                if isinstance(chunk, TextDelta):
                    heard.append(chunk.delta)
                    if len(heard) == 1:
                        first.cancel()
                        await turns()
                    steps[len(heard) - 1].set()
            assert heard == ["0 ", "1 ", "2 "]
            assert second.result.text == "0 1 2 "
        assert len(fake.requests) == 1
        assert (await rt.arun(agent, "q")).output == "0 1 2 "


async def test_a_stream_that_is_longer_than_its_copy_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its owner has all of it, who follows is told, and what is kept has no pieces."""
    monkeypatch.setattr("understudy.actors.caches.tee.LIMIT", 10)
    go = asyncio.Event()

    async def speak(messages: tuple[Message, ...]) -> Any:
        async def tokens() -> Any:
            yield "12345 "
            await go.wait()
            yield "67890 "
            yield "end"

        return tokens()

    async with Runtime() as rt:
        agent = Agent(FakeModel(speak), cache="10m")
        async with (
            rt.stream(agent, "q", flush_interval=0) as owner,
            rt.stream(agent, "q", flush_interval=0) as follower,
        ):
            await turns()
            go.set()
            assert await owner.acollect() == "12345 67890 end"
            with pytest.raises(StreamError) as caught:
                await follower.acollect()
            assert caught.value.reason == "lagged"
        async with rt.stream(agent, "q", flush_interval=0) as again:
            said = [chunk.delta async for chunk in again if isinstance(chunk, TextDelta)]
        assert said == ["12345 67890 end"]


# -- forgetting ------------------------------------------------------------------------------------


def test_entries_are_forgotten_by_tool_tag_and_tenant() -> None:
    """All that is given must match; nothing given is an error, `clear` is for that."""

    def look(x: int) -> int:
        """Look."""
        return x

    def think(messages: tuple[Message, ...]) -> str | list[ToolCall]:
        return "done" if len(messages) > 1 else [call("look", x=1)]

    cache = Cache(ttl="10m")
    with Runtime() as rt:
        with_tool = Agent(FakeModel(think), cache=cache, tools=[look])
        tagged = Agent(FakeModel.echo(), cache=Cache(ttl="10m", tags=["prices"]))
        for tenant in ("a", "b"):
            rt.run(with_tool, "q", tenant=tenant)
            rt.run(tagged, "q", tenant=tenant)
        assert cache.stats.size == 6
        assert cache.invalidate(tool="look") == 2, "the answers that rest on it"
        assert cache.invalidate(tag="prices", tenant="a") == 1
        assert rt.invalidate(tenant="b") == 2
        assert cache.invalidate(tenant="nobody") == 0
        with pytest.raises(ConfigError, match=r"invalidate\(\): give tool=, tag= or tenant="):
            cache.invalidate()
        with pytest.raises(ConfigError, match="give tool="):
            rt.invalidate()
        assert cache.clear() == 1
        assert cache.stats.size == 0


async def test_what_is_made_while_it_is_invalidated_is_not_kept(gate: "Gate") -> None:
    """Who waits gets it, the next one asks again."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        run = rt.submit(agent, "q")
        await gate.auntil(arrived=1)
        await rt.ainvalidate(tenant="other")
        follower = rt.submit(agent, "q")
        await turns()
        assert gate.arrived == 1, "nothing of it was meant"
        await rt.ainvalidate(tenant="")
        later = rt.submit(agent, "q")
        await gate.auntil(arrived=2)
        gate.open("old")
        assert (await run).output == (await follower).output == "old"
        gate.open("new")
        assert (await later).output == "new"
        assert (await rt.arun(agent, "q")).output == "new"


async def test_a_call_that_was_invalidated_is_cancelled_with_its_last_waiter(gate: "Gate") -> None:
    """As any other."""
    async with Runtime() as rt:
        run = rt.submit(Agent(FakeModel(gate), cache="10m"), "q")
        await gate.auntil(arrived=1)
        await rt.ainvalidate(tenant="")
        run.cancel()
        await gate.auntil(cancelled=1)


async def test_entries_end_and_not_all_at_once() -> None:
    """Nothing is given after its time; the ends are spread over the last tenth of it."""
    clock, fake = ManualClock(), FakeModel.echo()
    agent = Agent(fake, cache=100.0)
    async with Runtime(clock=clock, seed=1) as rt:
        for number in range(50):
            await rt.arun(agent, str(number))
        clock.advance(89.9)
        assert (await rt.arun(agent, "0")).cached is not None
        clock.advance(5.0)
        size = (await rt.acaches())["answers-1"].size
        assert 0 < size < 50, "some have ended, some have not"
        clock.advance(5.2)
        stats = (await rt.acaches())["answers-1"]
        assert (stats.size, stats.expired, stats.bytes) == (0, 50, 0)
        assert (await rt.arun(agent, "0")).cached is None


def test_blocking_verbs_refuse_the_loop_they_would_wait_for() -> None:
    """They name their twins."""

    async def main() -> None:
        cache = Cache()
        async with Runtime() as rt:
            for verb, twin in (
                (lambda: cache.stats, "cache.astats"),
                (cache.clear, "cache.aclear"),
                (lambda: cache.invalidate(tag="x"), "cache.ainvalidate"),
                (rt.caches, "rt.acaches"),
                (lambda: rt.invalidate(tag="x"), "rt.ainvalidate"),
            ):
                with pytest.raises(WouldDeadlockError, match=twin):
                    verb()
            assert (await cache.astats()).size == 0
            assert await cache.aclear() == 0
            assert await cache.ainvalidate(tag="x") == 0

    asyncio.run(main())


# -- specs and configuration -----------------------------------------------------------------------


def test_a_cache_is_data() -> None:
    """Its sizes and times are written as people write them, and it travels with its agent."""
    cache = Cache(ttl="90s", max_bytes="2MiB", tags=["a"])
    assert (cache.ttl, cache.max_bytes, cache.tags) == (90.0, 2 * 1024 * 1024, ("a",))
    agent = Agent("local:extractive", cache=cache)
    back = decode(encode(agent), AgentSpec)
    assert back.cache == CacheSpec(ttl=90.0, max_bytes=2 * 1024 * 1024, tags=("a",))
    assert Agent("local:extractive", cache="1h").cache == Cache(ttl=3600.0)
    assert Agent("local:extractive", cache=30).cache == Cache(ttl=30.0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ttl": "500"}, r'Cache\(ttl=...\): "500" has no unit'),
        ({"ttl": 0}, r"Cache\(ttl=0.0\): more than 0"),
        ({"ttl": float("nan")}, r"Cache\(ttl=nan\): more than 0"),
        ({"max_size": 0}, r"Cache\(max_size=0\): more than 0"),
        ({"max_bytes": "64 megs"}, r"Cache\(max_bytes=...\): '64 megs' is not a size"),
        ({"semantic": "fuzzy"}, r"Cache\(semantic='fuzzy'\): 'strict', 'embedding' or None"),
        ({"semantic": "embedding", "threshold": 1.5}, r"threshold=1.5"),
        ({"embedder": "openai:x"}, r"Cache\(embedder=...\) needs semantic='embedding'"),
        (
            {"semantic": "embedding", "embedder": "openai"},
            r"embedder='openai'\): write 'provider:m",
        ),
        ({"semantic": "embedding", "embedder": 3}, r"embedder=3\): write 'provider:model'"),
        ({"path": ""}, r"Cache\(path=''\): give a file, or no path="),
        ({"path": ":memory:"}, r"Cache\(path=':memory:'\): give a file, or no path="),
        ({"path": 3}, r"Cache\(path=3\): give a file, as a text or a Path"),
        ({"tags": "prices"}, r"write a list of texts"),
    ],
)
def test_a_cache_that_cannot_be_is_refused(options: dict[str, Any], told: str) -> None:
    """The error names the option and the remedy."""
    with pytest.raises(ConfigError, match=told):
        Cache(**options)


@pytest.mark.parametrize("bad", ["soon", "5", True])
def test_an_agent_says_what_is_wrong_with_its_cache(bad: Any) -> None:
    """A text without a unit, and no time at all."""
    if bad is True:
        assert Agent("local:extractive", cache=bad).cache is True
        return
    with pytest.raises(ConfigError, match="cache="):
        Agent("local:extractive", cache=bad)


def test_the_file_turns_it_on_for_temperature_zero_alone() -> None:
    """Others need the agent's own `cache=`; `True` covers them with what the file says."""
    config = load_config('[llm.cache]\nttl = "5m"\nmax_size = 2\nsemantic = "strict"', {})
    fake = FakeModel.echo()
    with Runtime(config=config) as rt:
        zero, warm, unset = (Agent(fake, temperature=t) for t in (0.0, 0.5, None))
        for agent, hit in ((zero, True), (warm, False), (unset, False)):
            rt.run(agent, "What is the time?")
            assert (rt.run(agent, "What is the time?").cached is not None) == hit
        assert rt.run(zero, "what's the time").cached is not None, "semantic"
        for prompt in ("a", "b"):
            rt.run(zero, prompt)
        assert rt.run(zero, "What is the time?").cached is None, "max_size"
        rt.run(warm, "again", cache=True)
        assert rt.run(warm, "again", cache=True).cached is not None
    assert config.llm.default_cache == CacheSpec(ttl=300.0, max_size=2, semantic="strict")


async def test_how_long_the_file_keeps_it() -> None:
    """`ttl` of `[llm.cache]` and of an agent's table."""
    text = '[llm.cache]\nttl = "10s"\n[agents.a]\ncache = "100s"'
    config, clock, fake = load_config(text, {}), ManualClock(), FakeModel.echo()
    async with Runtime(config=config, clock=clock) as rt:
        own = config.agents["a"]
        for _ in range(2):
            await rt.arun(Agent(fake, temperature=0.0), "q")
            await rt.arun(own, "q", model=fake)
        assert len(fake.requests) == 2
        clock.advance(11)
        assert (await rt.arun(Agent(fake, temperature=0.0), "q")).cached is None
        assert (await rt.arun(own, "q", model=fake)).cached is not None


def test_the_file_can_leave_it_off_and_the_environment_turn_it_on() -> None:
    """`enabled` counts, wherever it stands."""
    text = "[llm.cache]\nenabled = false"
    assert load_config(text, {}).llm.default_cache is None
    on = load_config(text, {"UNDERSTUDY_LLM__CACHE__ENABLED": "true"})
    assert on.llm.default_cache == CacheSpec()
