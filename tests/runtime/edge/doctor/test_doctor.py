"""The checklist, point by point: what is found, what is advised, what is left alone."""

import re
from pathlib import Path
from typing import cast

import msgspec
import pytest

from understudy.runtime.config.load import load_config
from understudy.runtime.config.schema import Config
from understudy.runtime.edge.doctor import answers, work
from understudy.runtime.edge.doctor.checklist import CHECKLIST, judge
from understudy.runtime.edge.doctor.facts import Facts, duration
from understudy.runtime.edge.doctor.point import Point
from understudy.runtime.graph import check_workflow

FLOW = '[workflows.w]\nmode = "{mode}"\ntimeout = "1m"\n'


def steps(*tables: str) -> str:
    """Steps of a workflow, of agents `a` unless they say otherwise."""
    return "".join(
        f"[[workflows.w.steps]]\n{table}\n"
        + ("" if "function" in table or "agent" in table else 'agent = "a"\n')
        for table in tables
    )


def facts(text: str) -> Facts:
    """Of a configuration."""
    return Facts(load_config(text, {}, check=check_workflow))


def keys(point: Point) -> dict[str, str]:
    """What is to be changed."""
    return {change.key: change.value for change in point.changes}


def test_each_line_of_the_guide_has_a_point_in_its_words() -> None:
    """Fifteen, numbered, in the guide's order."""
    report = judge(Config(), "x")
    assert [point.number for point in report.points] == list(range(1, 16))
    assert [point.title for point in report.points] == list(CHECKLIST)
    assert [check.__doc__ for check in CHECKLIST.values()] == [f"{each}." for each in CHECKLIST]
    assert report.ok + report.change + report.unknown == 15


def test_what_is_not_judged_says_where_it_is_decided() -> None:
    """And what is judged never says so; advice without a key would be a guess."""
    for point in judge(Config(), "x").points:
        assert bool(point.elsewhere) == (point.verdict == "unknown"), point
        assert bool(point.changes) == (point.verdict == "change"), point
        assert point.recommended


@pytest.mark.parametrize(
    ("streaming", "changed"),
    [
        ("", {}),
        ("buffer_size = 25", {}),
        ("buffer_size = 24", {"streaming.buffer_size": "100"}),
        ("buffer_size = 1001", {"streaming.buffer_size": "100"}),
        ('flush_interval = "10ms"', {}),
        ('flush_interval = "0s"', {"streaming.flush_interval": '"100ms"'}),
        ('flush_interval = "501ms"', {"streaming.flush_interval": '"100ms"'}),
    ],
)
def test_buffers_lie_in_the_guides_ranges(streaming: str, changed: dict[str, str]) -> None:
    """25 to 1000 chunks, 10 to 500 ms."""
    assert keys(answers.buffers(facts(f"[streaming]\n{streaming}"))) == changed


def test_values_come_with_their_origin() -> None:
    """The line of the file, the variable, or the default."""
    config = load_config(
        "[streaming]\nbuffer_size = 300", {"UNDERSTUDY_STREAMING__FLUSH_INTERVAL": "250ms"}
    )
    found = answers.buffers(Facts(config)).found
    assert found[0] == "streaming.buffer_size = 300 (configuration line 2)"
    assert found[1] == (
        'streaming.flush_interval = "250ms" (environment UNDERSTUDY_STREAMING__FLUSH_INTERVAL)'
    )
    assert found[2] == "streaming.text_only = false (default)"
    assert found[3] == "300 chunks are the guide's size for data processing"


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("", {"llm.max_tokens": "1000"}),
        ("[llm]\nmax_tokens = 2000", {}),
        ("[llm]\nmax_tokens = 2001", {"llm.max_tokens": "2000"}),
        ("[agents.a]\n[agents.b]\nmax_tokens = 5", {"llm.max_tokens": "1000"}),
        ("[agents.a]\nmax_tokens = 5", {}),
        ("[agents.a]\nmax_tokens = 9000", {"agents.a.max_tokens": "2000"}),
        ("[llm]\nmax_tokens = 5\n[agents.a]", {}),
    ],
)
def test_token_limits(text: str, changed: dict[str, str]) -> None:
    """Each agent has one, its own or that of `[llm]`, and none is beyond the guide's."""
    assert keys(answers.token_limits(facts(text))) == changed


def test_long_answers_are_named_and_not_judged() -> None:
    """Whether they are streamed is decided in code."""
    point = answers.streaming(facts("[agents.a]\n[agents.b]\nmax_tokens = 1000"))
    assert point.verdict == "unknown"
    assert point.found == ("answers may be longer than 1,000 tokens: a",)
    bounded = answers.streaming(facts("[llm]\nmax_tokens = 900\n[agents.a]"))
    assert bounded.found == ("no agent answers with more than 1,000 tokens",)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("", {}),
        ('[llm]\nmodel = "local:extractive"', {}),
        ('[llm]\nmodel = "openai:x"', {'limits."openai:*".max_concurrent': "5"}),
        ('[llm]\nmodel = "openai:x"\n[limits."openai:*"]\nmax_concurrent = 9', {}),
        (
            '[llm]\nmodel = "openai:x"\n[limits."openai:y"]\nmax_concurrent = 9',
            {'limits."openai:*".max_concurrent': "5"},
        ),
        ('[agents.a]\nmodel = "openai:x"\nrate_limit = 10.0', {}),
        (
            '[agents.a]\nmodel = "local:extractive"\nfallback = ["openai:x", "openai:y"]',
            {'limits."openai:*".max_concurrent': "5"},
        ),
    ],
)
def test_rate_limits(text: str, changed: dict[str, str]) -> None:
    """Every account at a provider has one: a limit that matches, or the agents' own."""
    assert keys(answers.rate_limits(facts(text))) == changed


def test_without_a_provider_there_is_no_account_to_protect() -> None:
    """It is said, so that nobody takes the ok for a limit."""
    found = answers.rate_limits(facts('[llm]\nmodel = "local:extractive"')).found
    assert found[0] == "no model of a provider is named, so there is no account to protect"
    named = answers.rate_limits(facts('[llm]\nmodel = "openai:x"')).found
    assert named[0] == "openai:x: nothing bounds it before its provider says 429"


def test_models_are_named_with_what_they_cost() -> None:
    """Which task is simple enough for which is not guessed."""
    text = '[llm]\nmodel = "openai:nobodys"\n[agents.a]\nmodel = "local:extractive"'
    point = answers.models(facts(text + '\n[prices."openai:*"]\ninput = 1.5\noutput = 8.0'))
    assert point.verdict == "unknown"
    assert point.found[0] == (
        "openai:nobodys (all that name none): $1.5 in, $8 out for a million tokens"
    )
    assert point.found[1].startswith("local:extractive (a): $0 in")
    assert "no price known" in answers.models(facts(text)).found[0]


def test_a_sequence_whose_steps_do_not_need_each_other() -> None:
    """Such a step reads nothing of those before it; one that reads them is left alone."""
    apart = FLOW.format(mode="sequential") + steps(
        'name = "a"\nprompt = "{input}"', 'name = "b"\nprompt = "also {input}"'
    )
    needed = FLOW.format(mode="sequential") + steps(
        'name = "a"\nprompt = "{input}"', 'name = "b"', 'name = "c"\nprompt = "{a} and {b}"'
    )
    agent = "[agents.a]\n"
    point = work.parallel_workflows(facts(agent + apart))
    assert keys(point) == {"workflows.w.mode": '"dag"'}
    assert point.changes[0].why == "b reads nothing of the steps before it"
    assert keys(work.parallel_workflows(facts(agent + needed))) == {}


def test_a_dag_whose_steps_wait_for_nothing() -> None:
    """A dependency that is not read is named; what a function may read is not guessed."""
    text = "[agents.a]\n" + FLOW.format(mode="dag") + steps(
        'name = "a"\nprompt = "{input}"',
        'name = "b"\nprompt = "{a}"\nafter = ["a"]',
        'name = "c"\nprompt = "only {a}"\nafter = ["a", "b"]',
        'name = "d"\nafter = ["b"]',
        'name = "e"\nfunction = "operator:length_hint"\nprompt = "{input}"\nafter = "a"',
        'name = "f"\nfunction = "understudy.tools.digesting:write"\nprompt = "x"\nafter = "a"',
    )  # fmt: skip
    point = work.parallel_workflows(facts(text))
    assert keys(point) == {
        "workflows.w.steps[2].after": '["a"]',
        "workflows.w.steps[4].after": "[]",
    }


def test_one_at_a_time_is_not_parallel() -> None:
    """Neither for the steps of a workflow nor for the items of a step."""
    text = "[agents.a]\n" + FLOW.format(mode="parallel") + "max_concurrent = 1\n" + steps(
        'name = "a"', 'name = "b"\neach = "{input}"\nmax_concurrent = 1'
    )  # fmt: skip
    assert keys(work.parallel_workflows(facts(text))) == {
        "workflows.w.max_concurrent": "8",
        "workflows.w.steps[1].max_concurrent": "8",
    }
    assert work.parallel_workflows(facts("")).verdict == "unknown"


def test_timeouts() -> None:
    """Tools within the guide's minute, whole runs bounded; what is nested ends with the rest."""
    text = (
        '[tools]\ntimeout = "61s"\n[agents.a]\n[workflows.w]\nmode = "dag"\n'
        + steps('name = "a"')
        + '[[workflows.w.steps]]\nname = "in"\nworkflow = "v"\n'
        + '[workflows.v]\nmode = "dag"\n[[workflows.v.steps]]\nname = "x"\nagent = "a"\n'
    )
    assert keys(work.timeouts(facts(text))) == {
        "tools.timeout": '"60s"',
        "workflows.w.timeout": '"10m"',
    }
    bounded = "[agents.a]\n" + FLOW.format(mode="dag") + steps('name = "a"')
    assert keys(work.timeouts(facts(bounded))) == {}
    by_step = bounded.replace('timeout = "1m"\n', "") + 'timeout = "5s"\n'
    assert keys(work.timeouts(facts(by_step))) == {}


def test_tools_one_after_the_other() -> None:
    """Of all runs, or of one agent's turn."""
    text = "[tools]\nmax_concurrent = 1\n[agents.a]\ntool_concurrency = 1"
    assert keys(work.tool_execution(facts(text))) == {
        "tools.max_concurrent": "5",
        "agents.a.tool_concurrency": "8",
    }
    assert keys(work.tool_execution(facts(""))) == {}


CACHE = msgspec.defstruct("Cache", [("enabled", bool, False)], frozen=True)
RAG = msgspec.defstruct("Rag", [("cache_results", bool, True)], frozen=True)
MEMORY = msgspec.defstruct(
    "Memory", [("provider", str | None, None), ("ttl", float | None, None), ("rag", RAG, RAG())]
)
PART = msgspec.defstruct("Part", [("cache", CACHE | None, None)], frozen=True)
BARE = msgspec.defstruct("Bare", [("other", int, 0)], frozen=True)


def schema(**sections: object) -> Facts:
    """A configuration of a schema of its own, so that what it lacks is known."""
    made = msgspec.defstruct(
        "Made", [*((name, object) for name in sections), ("origins", dict), ("agents", dict)]
    )
    return Facts(cast("Config", made(*sections.values(), origins={}, agents={})))


def test_a_cache_that_is_off_is_named_and_one_that_no_version_knows_is_not() -> None:
    """A table that is left out is off; a key that the schema does not have is not advised."""
    facts = schema(tools=PART(), llm=BARE(), memory=MEMORY())
    point = work.caching(facts)
    assert keys(point) == {"tools.cache.enabled": "true"}
    assert "this version has no key llm.cache.enabled" in point.found
    assert "memory.rag.cache_results = true (default)" in point.found
    on = schema(tools=PART(CACHE(enabled=True)), llm=BARE(), memory=BARE())
    assert work.caching(on).verdict == "ok"
    assert work.caching(schema(tools=BARE(), llm=BARE(), memory=BARE())).verdict == "unknown"


@pytest.mark.parametrize(("second", "advised"), [('cache = "1m"\n', False), ("", True)])
def test_agents_with_caches_of_their_own_need_no_other(second: str, *, advised: bool) -> None:
    """That of `[llm]` is advised as long as one of them has none."""
    point = work.caching(facts(f'[agents.a]\ncache = "5m"\n[agents.b]\n{second}'))
    assert 'agents.a.cache = "5m" (configuration line 2)' in point.found
    assert ("llm.cache.enabled" in keys(point)) == advised


def test_sessions_that_are_kept_for_ever() -> None:
    """Only where some are kept, and only where the version has a key for it."""
    assert work.sessions(schema(memory=BARE())).verdict == "unknown"
    assert work.sessions(schema(memory=MEMORY())).verdict == "ok"
    kept = MEMORY("memory")
    assert keys(work.sessions(schema(memory=kept))) == {"memory.ttl": '"7d"'}
    expiring = MEMORY("memory", 60.0)
    assert work.sessions(schema(memory=expiring)).verdict == "ok"


def test_every_key_that_is_advised_can_be_written() -> None:
    """In a file as bad as possible, what is advised can be written, and makes each point ok."""
    text = (
        '[llm]\nmodel = "openai:x"\n[tools]\ntimeout = "2m"\nmax_concurrent = 1\n[streaming]\n'
        'buffer_size = 5\nflush_interval = "1s"\n[agents.a]\ntool_concurrency = 1\n'
        '[workflows.w]\nmode = "dag"\nmax_concurrent = 1\n'
        + steps('name = "a"', 'name = "b"\nprompt = "x"\nafter = "a"')
    )
    before = judge(load_config(text, {}), "x")
    advised = {change.key: change.value for point in before.points for change in point.changes}
    assert len(advised) >= 9
    for key, value in advised.items():
        section, _, name = key.rpartition(".")
        if "steps[" in key:
            text = re.sub(r'after = "a"', f"{name} = {value}", text)
        elif f"[{section}]\n" in text:
            rest = rf"(\[{re.escape(section)}\]\n(?:(?!\[).*\n)*?){name} = .*\n"
            text = re.sub(rest, r"\1", text)
            text = text.replace(f"[{section}]\n", f"[{section}]\n{name} = {value}\n")
        else:
            text += f"[{section}]\n{name} = {value}\n"
    assert judge(load_config(text, {}), "x").change == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "100ms"), (1.0, "1s"), (90.0, "90s"), (300.0, "5m"), (1.5, "1.5s")]
)
def test_durations_are_written_as_people_do(seconds: float, text: str) -> None:
    """With the largest unit that needs no fraction."""
    assert duration(seconds) == text


def test_the_demo_is_judged() -> None:
    """Its file has what the points speak of."""
    demo = Path(__file__).parents[4] / "demos" / "digest.toml"
    report = judge(load_config(demo, {}, check=check_workflow), "x")
    assert {point.number for point in report.points if point.verdict == "change"} <= {3, 6}
