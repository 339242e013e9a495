"""Every key of the file has an effect, and a test that observes it."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.conftest import Gate

from understudy import Agent, OverloadedError, Runtime, Workflow, step, tool
from understudy.messages.caches import CacheSpec
from understudy.messages.functions import FunctionRef
from understudy.messages.secrets import Secret
from understudy.runtime.config.load import load_config
from understudy.runtime.config.read import FAMILIES, SECTIONS, table_of
from understudy.testing import FakeModel, ProviderServer

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
HERE = "tests/runtime/config/test_effects.py"
OBSERVED = {
    "llm.model base_url api_key temperature max_tokens": (HERE, "test_llm"),
    "llm.transport": (
        "tests/actors/models/test_choice.py", "test_what_is_missing_is_named",
    ),
    "llm.cache.enabled max_size semantic": (HERE, "test_llm_cache"),
    "llm.cache.ttl": ("tests/runtime/test_cache_options.py", "test_how_long_the_file_keeps_it"),
    "runtime.workers threads": (HERE, "test_workers_and_threads"),
    "runtime.max_runs": (HERE, "test_max_runs"),
    "runtime.shutdown": (HERE, "test_shutdown"),
    "tools.timeout": ("tests/runtime/tools/test_config.py", "test_timeout"),
    "tools.max_retries": ("tests/runtime/tools/test_config.py", "test_max_retries"),
    "tools.rate_limit": ("tests/runtime/tools/test_config.py", "test_rate_limit"),
    "tools.max_concurrent": ("tests/runtime/tools/test_config.py", "test_max_concurrent"),
    "tools.circuit_breaker.enabled": (
        "tests/runtime/tools/test_config.py", "test_circuit_breaker_can_be_switched_off",
    ),
    "tools.circuit_breaker.min_calls open": (
        "tests/runtime/tools/test_config.py", "test_circuit_breaker",
    ),
    "tools.circuit_breaker.window failure_rate max_open probes": (HERE, "test_the_breaker"),
    "tools.cache.enabled include": (
        "tests/runtime/tools/test_cache.py", "test_which_tools_are_cached",
    ),
    "tools.cache.ttl max_size": (
        "tests/runtime/tools/test_cache.py", "test_how_long_and_how_many_the_file_says",
    ),
    "streaming.buffer_size": ("tests/runtime/test_stream_config.py", "test_buffer_size"),
    "streaming.flush_interval": ("tests/runtime/test_stream_config.py", "test_flush_interval"),
    "streaming.text_only": ("tests/runtime/test_stream_config.py", "test_text_only"),
    "streaming.timeout": ("tests/runtime/test_stream_config.py", "test_timeout"),
    "memory.provider": ("tests/runtime/config/test_memory.py", "test_as_the_seed_writes_it"),
    "memory.connection": ("tests/runtime/config/test_memory.py", "test_a_connection_is_a_file"),
    "memory.ttl max_sessions": (
        "tests/runtime/config/test_memory.py", "test_sessions_and_their_time",
    ),
    "memory.rag.max_tokens": ("tests/runtime/config/test_memory.py", "test_how_much_is_shown"),
    "memory.rag.cache_results cache_ttl": (
        "tests/runtime/config/test_memory.py", "test_what_was_found_before",
    ),
    "memory.rag.history_limit": (
        "tests/runtime/config/test_memory.py", "test_how_many_messages_are_sent",
    ),
    "limits": (HERE, "test_limits_and_prices"),
    "prices": (HERE, "test_limits_and_prices"),
    "agents": (HERE, "test_every_field_of_an_agent"),
    "workflows": ("tests/runtime/config/test_flows.py", "test_everything_can_be_said_in_a_file"),
}  # fmt: skip


def keys() -> set[str]:
    """Every key of the sections, with those of tables in tables; families by their names."""
    found: set[str] = set(FAMILIES)

    def add(path: str, kind: type[msgspec.Struct]) -> None:
        for name in kind.__struct_fields__:
            inner = table_of(kind, name)
            if inner is None:
                found.add(f"{path}.{name}")
            else:
                add(f"{path}.{name}", inner)

    for section, kind in SECTIONS.items():
        add(section, kind)
    return found


def test_no_key_without_an_effect() -> None:
    """Each is named here with its test, which exists; and none that is no key any more."""
    named: set[str] = set()
    for family, (file, name) in OBSERVED.items():
        path, _, fields = family.rpartition(".")
        named |= {f"{path}.{field}" if path else field for field in fields.split()}
        text = (ROOT / file).read_text()
        assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{file}: {name}"
    assert named == keys()


async def test_llm() -> None:
    """Model, address, key and sampling reach the provider as the file says."""
    async with ProviderServer(["hi"], api_key="planted") as server:
        text = f"""
            [llm]
            model = "openai-compatible:m7"
            base_url = "{server.base_url}"
            api_key = "planted"
            temperature = 0.25
            max_tokens = 17
        """
        async with Runtime(config=load_config(text, {})) as rt:
            result = await rt.arun(Agent(), "x")
        assert result.output == "hi"
        (request,) = server.requests
        body = msgspec.json.decode(request.body)
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("m7", 0.25, 17)


async def test_llm_cache() -> None:
    """Off, on, bounded, and by meaning: as many calls as that leaves."""
    for text, calls in (
        ("", 4),
        ("[llm.cache]\nenabled = false", 4),
        ("[llm.cache]", 2),
        ("[llm.cache]\nmax_size = 1", 3),
        ('[llm.cache]\nsemantic = "strict"', 1),
    ):
        model = FakeModel.echo()
        agent = Agent(model, temperature=0.0)
        async with Runtime(config=load_config(text, {})) as rt:
            for prompt in ("What is the speed of light?", "What is the speed of light?"):
                await rt.arun(agent, prompt)
            for prompt in ("what is the speed of light", "What is the speed of light?"):
                await rt.arun(agent, prompt)
        assert len(model.requests) == calls, text


@pytest.mark.parametrize(("key", "function"), [("workers", "waits"), ("threads", "blocks")])
async def test_workers_and_threads(gate: Gate, key: str, function: str) -> None:
    """So many steps at a time, on the loop and on threads."""

    async def waits(item: str) -> str:
        return await gate(item)

    def blocks(item: str) -> str:
        return gate_reply(gate, item)

    work = {"waits": waits, "blocks": blocks}[function]
    each = step("each", work, each="{split}", after="split")
    flow = Workflow.dag("f", step("split", str.split), each)
    async with Runtime(config=load_config(f"[runtime]\n{key} = 2", {})) as rt:
        run = rt.submit(flow, "a b c d e")
        for _ in range(5):
            await gate.auntil(waiting=1)
            gate.open()
        assert await run
    assert gate.peak <= 2


def gate_reply(gate: Gate, item: str) -> str:
    """Wait at the gate on a thread."""
    import asyncio

    return asyncio.run(gate(item))


async def test_max_runs(gate: Gate) -> None:
    """One more is refused, and the error names the bound."""
    async with Runtime(config=load_config("[runtime]\nmax_runs = 1", {})) as rt:
        run = rt.submit(Agent(FakeModel(gate)), "x")
        await gate.auntil(arrived=1)
        with pytest.raises(OverloadedError, match="max_runs"):
            await rt.arun(Agent(FakeModel.echo()), "y")
        gate.open()
        await run


async def test_shutdown(gate: Gate) -> None:
    """The time that leaving takes at most: what never ends is cancelled before it is over."""
    async with Runtime(config=load_config('[runtime]\nshutdown = "200ms"', {})) as rt:
        run = rt.submit(Agent(FakeModel(gate)), "x")
        await gate.auntil(arrived=1)
        report = await rt.astop()
    assert (report.cancelled, run.status) == (1, "cancelled")


def test_the_breaker() -> None:
    """What the table says is the policy that tools are called by."""
    text = """
        [tools.circuit_breaker]
        window = "1m"
        failure_rate = 0.9
        max_open = "2m"
        probes = 7
    """
    policy = load_config(text, {}).tools.defaults.breaker
    assert policy is not None
    found = (policy.window, policy.failure_rate, policy.max_open, policy.probes)
    assert found == (60.0, 0.9, 120.0, 7)


async def test_limits_and_prices() -> None:
    """Each key is the field of that name of the limit, or the price, that holds."""
    limit = """
        [limits."fake:*"]
        requests_per_second = 1
        requests_per_minute = 2
        tokens_per_minute = 3
        input_tokens_per_minute = 4
        output_tokens_per_minute = 5
        max_concurrent = 6
        burst = 7
        queue = 8
    """
    price = '[prices."fake:*"]\ninput = 1.0\noutput = 2.0\ncached = 0.5'
    config = load_config(limit + price, {})
    fields = msgspec.structs.astuple(config.limits["fake:*"])
    assert fields == (1.0, 2.0, 3.0, 4.0, 5.0, 6, 7.0, 8)
    assert set(FAMILIES["limits"].__struct_fields__) == set(
        config.limits["fake:*"].__struct_fields__
    )
    async with Runtime(config=load_config(price, {})) as rt:
        result = await rt.arun(Agent(FakeModel.echo()), "one two three")
        usage = result.usage
    expected = (usage.input_tokens * 1.0 + usage.output_tokens * 2.0) / 1e6
    assert result.cost == pytest.approx(expected)
    assert config.prices["fake:*"].cached == 0.5


@tool
def known(city: str) -> str:
    """A tool that a file can name."""
    return city


FIELDS: dict[str, tuple[str, Any]] = {
    "model": ('"local:extractive"', "local:extractive"),
    "instructions": ('"Be terse."', "Be terse."),
    "output": ('"builtins:int"', FunctionRef("builtins:int")),
    "tools": ('["tests.runtime.config.test_effects:known"]', (known,)),
    "temperature": ("0.0", 0.0),
    "max_tokens": ("9", 9),
    "stop": ('["END"]', ("END",)),
    "seed": ("3", 3),
    "max_turns": ("4", 4),
    "tool_timeout": ('"5s"', 5.0),
    "tool_concurrency": ("2", 2),
    "rate_limit": ("1.5", 1.5),
    "max_concurrent": ("6", 6),
    "history_limit": ("0", 0),
    "context_window": ("100", 100),
    "keep_first": ("true", True),
    "retries": ("0", 0),
    "fallback": ('["openai:gpt-4.1"]', ("openai:gpt-4.1",)),
    "cache": ('"5m"', CacheSpec(ttl=300.0)),
    "timeout": ('"90s"', 90.0),
    "base_url": ('"http://localhost:1"', "http://localhost:1"),
    "api_key": ('"k"', Secret("k")),
    "extra": ("{ top_p = 0.5 }", {"top_p": 0.5}),
}


def test_every_field_of_an_agent() -> None:
    """What the file says is what the spec says, as if code had written it."""
    assert set(FIELDS) == set(FAMILIES["agents"].__struct_fields__)
    text = "[agents.a]\n" + "\n".join(f"{key} = {given}" for key, (given, _) in FIELDS.items())
    agent = load_config(text, {}).agents["a"]
    for key, (_, expected) in FIELDS.items():
        found = getattr(agent, key)
        assert type(found) is type(expected), key
        assert found == expected or key == "tools", key
    assert [each.name for each in agent.tools] == ["known"]


def test_a_tool_that_is_not_there_has_its_line() -> None:
    """Import paths are tried when the file is read."""
    with pytest.raises(Exception, match=r"line 3: agents.a.tools: .*nope"):
        load_config('[agents.a]\nseed = 1\ntools = ["tests.runtime.config.test_effects:nope"]', {})
    with pytest.raises(Exception, match=r"line 2: agents.a.output: .*nope"):
        load_config('[agents.a]\noutput = "builtins:nope"', {})
