"""A configuration that changes while the runtime runs: validated, applied, or named."""

import asyncio
import threading
from pathlib import Path

import pytest
from tests.conftest import Gate

from understudy import (
    Agent,
    Cache,
    ConfigError,
    Limit,
    OverloadedError,
    Reloaded,
    Runtime,
    RuntimeStoppedError,
    Workflow,
    step,
)
from understudy.runtime.config.load import load_config
from understudy.testing import FakeModel, ProviderServer

pytestmark = pytest.mark.anyio


async def test_limits_change_for_callers_that_wait(gate: Gate) -> None:
    """Two may call at a time instead of one, at once, and the permits that are out stay out."""
    agent = Agent(FakeModel(gate))
    async with Runtime(config=load_config('[limits."fake:*"]\nmax_concurrent = 1', {})) as rt:
        runs = [rt.submit(agent, str(n)) for n in range(3)]
        await gate.auntil(arrived=1)
        assert gate.arrived == 1
        done = rt.reload(load_config('[limits."fake:*"]\nmax_concurrent = 2', {}))
        assert done == Reloaded(applied=("limits.fake:*.max_concurrent",))
        await gate.auntil(arrived=2)
        assert gate.waiting == 2
        gate.open(count=2)
        await gate.auntil(arrived=3)
        gate.open()
        assert len({(await run).output for run in runs}) == 1
        assert gate.peak == 2


async def test_a_limit_that_is_new_or_gone() -> None:
    """Patterns that appear hold for the next call, those that disappear hold nobody back."""
    agent = Agent(FakeModel.echo())
    async with Runtime() as rt:
        await rt.arun(agent, "x")
        assert await rt.alimiters() == {}
        rt.reload(load_config('[limits."fake:*"]\nrequests_per_minute = 1', {}))
        await rt.arun(agent, "x")
        assert (await rt.alimiters())["fake:*"].granted == 1
        with pytest.raises(Exception, match=r"deadline|permit"):
            await rt.arun(agent, "x", timeout=0.5)
        rt.reload(load_config("", {}))
        await rt.arun(agent, "x", timeout=5)


async def test_what_is_owed_stays_owed() -> None:
    """A rate that is raised a little is no fresh bucket: nobody gets a burst by reloading."""
    agent = Agent(FakeModel.echo())
    async with Runtime(config=load_config('[limits."fake:*"]\nrequests_per_minute = 1', {})) as rt:
        await rt.arun(agent, "x")
        rt.reload(load_config('[limits."fake:*"]\nrequests_per_minute = 1.1', {}))
        with pytest.raises(Exception, match=r"deadline|permit"):
            await rt.arun(agent, "x", timeout=1)


async def test_bounds_of_runs_change(gate: Gate) -> None:
    """`max_runs`: what is under way goes on, the next one is judged by the new bound."""
    agent = Agent(FakeModel(gate))
    async with Runtime() as rt:
        first = rt.submit(agent, "1")
        await gate.auntil(arrived=1)
        assert rt.reload(load_config("[runtime]\nmax_runs = 1", {})).applied == (
            "runtime.max_runs",
        )
        with pytest.raises(OverloadedError, match="1 agent runs are under way"):
            await rt.arun(agent, "2")
        gate.open()
        assert (await first).output == "open"


def test_threads_and_workers_change() -> None:
    """Steps that wait for a thread get one as soon as there may be more."""
    begun, go = threading.Semaphore(0), threading.Event()

    def work(item: str) -> str:
        begun.release()
        go.wait(10)
        return item

    flow = Workflow.dag(
        "f", step("split", str.split), step("w", work, each="{split}", after="split")
    )
    with Runtime(config=load_config("[runtime]\nthreads = 1", {})) as rt:
        run = rt.submit(flow, "a b c")
        assert begun.acquire(timeout=10)
        assert not begun.acquire(blocking=False)
        done = rt.reload(load_config("[runtime]\nthreads = 3\nworkers = 5", {}))
        assert done.applied == ("runtime.threads", "runtime.workers")
        assert begun.acquire(timeout=10)
        assert begun.acquire(timeout=10)
        go.set()
        assert run.get(timeout=10).output == ["a", "b", "c"]
        assert [pool.stats.size for pool in rt.crew.steps.pools[:2]] == [(0, 5), (0, 3)]


async def test_models_prices_streams_and_tools_change() -> None:
    """What agents use that do not say otherwise is looked up at each run."""
    agent = Agent(max_tokens=50)
    text = "One sentence. Another one about actors."
    async with Runtime() as rt:
        with pytest.raises(ConfigError, match="no model"):
            await rt.arun(agent, text)
        new = """
            [llm]
            model = "local:extractive"
            [prices."fake:*"]
            input = 1_000_000.0
            output = 0.0
            [streaming]
            text_only = true
            buffer_size = 7
            [tools]
            timeout = "50ms"
        """
        done = rt.reload(load_config(new, {}))
        assert done.restart == ()
        assert (await rt.arun(agent, text)).output
        priced = await rt.arun(Agent(FakeModel.echo()), "one")
        assert priced.cost == priced.usage.input_tokens > 0
        assert rt.crew.stream_defaults.buffer_size == 7
        from understudy import arun_tools
        from understudy.messages.chat import ToolCall

        async def slow() -> None:
            await asyncio.Event().wait()

        call = ToolCall(id="1", name="slow", arguments={})
        (result,) = await arun_tools([call], [slow], runtime=rt)
        assert "0.05" in str(result.error)


async def test_caches_change() -> None:
    """For what is asked from now on; one that code has given stays."""
    fake, other = FakeModel.echo(), FakeModel.echo()
    agent = Agent(fake, temperature=0.0)
    text = '[llm.cache]\nttl = "5m"\n[tools.cache]\nttl = "1m"'
    async with Runtime() as rt:
        for changed, cached in (("", False), (text, True), ("", False)):
            done = rt.reload(load_config(changed, {}))
            assert done.restart == ()
            for _ in range(2):
                result = await rt.arun(agent, f"q {changed}")
            assert (result.cached is not None) == cached
        for ttl in ("5m", "6m"):
            rt.reload(load_config(f'[llm.cache]\nttl = "{ttl}"', {}))
            assert (await rt.arun(agent, "new")).cached is None, "another cache"
    async with Runtime(cache="10m") as rt:
        done = rt.reload(load_config(text, {}))
        assert {key for key in done.overruled if key.startswith("llm.cache")} == set(done.overruled)
        assert done.overruled
        for _ in range(2):
            result = await rt.arun(Agent(other, temperature=0.0), "q")
        assert result.cached is not None
        assert rt.crew.caches._default == Cache(ttl=600.0)


async def test_workflows_are_built_from_what_is_in_force() -> None:
    """`rt.workflow(name)` is the new one after a reload; there was another before."""
    text = '[workflows.f]\nmode = "sequential"\n[[workflows.f.steps]]\nname = "s"\nfunction = "{}"'
    async with Runtime(config=load_config(text.format("builtins:len"), {})) as rt:
        assert (await rt.arun(rt.workflow("f"), "abc")).output == 3
        rt.reload(load_config(text.format("builtins:str.upper"), {}))
        assert (await rt.arun(rt.workflow("f"), "abc")).output == "ABC"
        with pytest.raises(ConfigError, match="no workflow 'g'"):
            rt.workflow("g")


async def test_what_code_has_set_stays() -> None:
    """Code wins over the file, also over a file that comes later; the report says so."""
    limits = {"fake:*": Limit(max_concurrent=3)}
    async with Runtime(threads=2, limits=limits) as rt:
        done = rt.reload(
            load_config('[runtime]\nthreads = 9\n[limits."fake:*"]\nmax_concurrent = 1', {})
        )
        assert "runtime.threads" in done.overruled
        assert "limits.fake:*.max_concurrent" in done.overruled
        assert done.applied == ()
        assert rt._threads == 2
        assert str(done).startswith("overruled by code: limits.fake:*")


async def test_what_needs_a_restart_is_named() -> None:
    """The transport is made once; who changes it is told."""
    async with Runtime() as rt:
        done = rt.reload(load_config('[llm]\ntransport = "plain"\nmax_tokens = 9', {}))
        assert done == Reloaded(applied=("llm.max_tokens",), restart=("llm.transport",))
        assert str(rt.reload(rt.config)) == "nothing has changed"


def test_a_file_with_a_mistake_changes_nothing(tmp_path: Path) -> None:
    """All of it is checked first, and every problem is told; then it is read anew."""
    file = tmp_path / "u.toml"
    file.write_text("[runtime]\nthreads = 3")
    with Runtime.from_toml(file) as rt:
        file.write_text("[runtime]\nthreads = 4\nmax_runs = 0\n[nope]")
        with pytest.raises(ConfigError) as caught:
            rt.reload()
        assert len(caught.value.problems) == 2
        assert (rt.config.runtime.threads, rt._threads) == (3, 3)
        file.write_text("[runtime]\nthreads = 4")
        assert rt.reload() == Reloaded(applied=("runtime.threads",))
        assert rt._threads == 4
        file.unlink()
        with pytest.raises(ConfigError, match="cannot be read"):
            rt.reload()
    with pytest.raises(RuntimeStoppedError):
        rt.reload(load_config("[runtime]\nthreads = 9", {}))


def test_without_a_file_there_is_nothing_to_read() -> None:
    """The error says how to have one."""
    with Runtime(name="bare") as rt, pytest.raises(ConfigError, match="from_toml"):
        rt.reload()


async def test_another_address_is_for_the_next_call() -> None:
    """The same model at another address: who has asked the old one asks the new one."""
    async with ProviderServer("old") as old, ProviderServer("new") as new:
        text = '[llm]\nmodel = "openai-compatible:m"\nbase_url = "{}"'
        async with Runtime(config=load_config(text.format(old.base_url), {})) as rt:
            assert (await rt.arun(Agent(), "x")).output == "old"
            assert rt.reload(load_config(text.format(new.base_url), {})).restart == ()
            assert (await rt.arun(Agent(), "x")).output == "new"
