"""Points about work and what is kept: caches, workflows, timeouts, tools, sessions."""

from __future__ import annotations

from understudy.messages.errors import ConfigError
from understudy.messages.functions import load_function
from understudy.runtime.config.schema import StepConfig, WorkflowConfig
from understudy.runtime.edge.doctor.facts import Facts
from understudy.runtime.edge.doctor.point import Change, Point, judged, unknown
from understudy.runtime.run_context import context_parameter
from understudy.runtime.template import placeholders

SLOWEST_TOOL = 60.0
CACHES = {
    ("tools", "cache", "enabled"): "tools whose effects allow it",
    ("llm", "cache", "enabled"): "answers at temperature 0",
    ("memory", "rag", "cache_results"): "what is recalled",
}


def caching(facts: Facts) -> Point:
    """Enable caching for repeated operations."""
    found, changes = [], []
    advice = "on, for 5m (tools) and 10m (recall), 1000 entries; 90 % faster where it hits"
    known = [path for path in CACHES if facts.knows(*path)]
    caches = [("agents", name, "cache") for name in facts.config.agents]
    own = [path for path in caches if facts.value(*path) is not None]
    own_all = bool(own) and len(own) == len(caches)
    for path, cached in CACHES.items():
        if path not in known:
            found.append(f"this version has no key {'.'.join(path)}")
            continue
        found.append(facts.said(*path))
        if not facts.value(*path) and not (own_all and path[0] == "llm"):
            why = f"repeated work is done again: {cached}"
            changes.append(Change(key=".".join(path), value="true", why=why))
    found += [facts.said(*path) for path in own]
    if not known:
        return unknown(found, advice, "in code")
    return judged(found, advice, changes)


def parallel_workflows(facts: Facts) -> Point:
    """Use parallel workflows when possible."""
    advice = "steps that do not need each other side by side: N of them N times faster"
    workflows = facts.config.workflows
    if not workflows:
        return unknown(["no workflow is configured"], advice, "in code: Workflow.dag, .parallel")
    found, changes = [], []
    for name, workflow in workflows.items():
        found.append(f"{name}: {workflow.mode}, {len(workflow.steps)} steps")
        changes += _waits(name, workflow)
        if workflow.max_concurrent == 1 and len(workflow.steps) > 1:
            key = f"workflows.{name}.max_concurrent"
            changes.append(Change(key=key, value="8", why="one step at a time, whatever the mode"))
        for index, step in enumerate(workflow.steps):
            if step.each is not None and step.max_concurrent == 1:
                key = f"workflows.{name}.steps[{index}].max_concurrent"
                changes.append(Change(key=key, value="8", why=f"{step.name}: one item at a time"))
    return judged(found, advice, changes)


def timeouts(facts: Facts) -> Point:
    """Configure timeouts."""
    config = facts.config
    found, changes = [facts.said("tools", "timeout")], []
    if config.tools.timeout > SLOWEST_TOOL:
        why = "longer than the guide gives slow tools"
        changes.append(Change(key="tools.timeout", value='"60s"', why=why))
    for name, agent in config.agents.items():
        said = facts.said("agents", name, "timeout")
        found.append(said if agent.timeout is not None else f"{said}: a run ends after 600s")
        if agent.tool_timeout is not None:
            found.append(facts.said("agents", name, "tool_timeout"))
    nested = {step.workflow for each in config.workflows.values() for step in each.steps}
    for name, workflow in config.workflows.items():
        if name in nested:
            continue  # it ends with the workflow around it
        found.append(facts.said("workflows", name, "timeout"))
        if workflow.timeout is None and any(step.timeout is None for step in workflow.steps):
            why = "nothing bounds the whole run"
            changes.append(Change(key=f"workflows.{name}.timeout", value='"10m"', why=why))
    found.append(facts.said("streaming", "timeout"))
    return judged(found, "5s for fast tools, 60s for slow ones such as scrapers", changes)


def tool_execution(facts: Facts) -> Point:
    """Optimize tool execution."""
    config = facts.config
    keys = ("max_concurrent", "max_retries")
    found, changes = [facts.said("tools", key) for key in keys], []
    breaker = "on" if config.tools.circuit_breaker is not None else "off"
    found.append(f"tools.circuit_breaker is {breaker}")
    if config.tools.max_concurrent == 1:
        why = "each tool is called one at a time"
        changes.append(Change(key="tools.max_concurrent", value="5", why=why))
    for name, agent in config.agents.items():
        found.append(facts.said("agents", name, "tool_concurrency"))
        if agent.tool_concurrency == 1:
            why = "the tools of one turn are called one after the other"
            key = f"agents.{name}.tool_concurrency"
            changes.append(Change(key=key, value="8", why=why))
    return judged(
        found, "call the tools of a turn in parallel, with timeouts; load them lazily", changes
    )


def sessions(facts: Facts) -> Point:
    """Clear old session data."""
    advice = "clear sessions that are over, or let them expire"
    if not facts.knows("memory", "provider"):
        found = ["this version has no key memory.provider: a configuration keeps no sessions"]
        return unknown(found, advice, "in code: what is passed as history=")
    found = [facts.said("memory", "provider")]
    if facts.value("memory", "provider") is None:
        return judged([*found, "no session outlives the process"], advice)
    if not facts.knows("memory", "ttl"):
        return unknown(found, advice, "in code: Memory(ttl=...), memory.clear(session)")
    found.append(facts.said("memory", "ttl"))
    changes = []
    if facts.value("memory", "ttl") is None:
        changes.append(Change(key="memory.ttl", value='"7d"', why="sessions are kept for ever"))
    return judged(found, advice, changes)


def _waits(name: str, workflow: WorkflowConfig) -> list[Change]:
    """Steps that wait for others of which they read nothing."""
    changes = []
    for index, step in enumerate(workflow.steps):
        read = _read(step)
        if read is None:
            continue
        where = f"workflows.{name}.steps[{index}].after"
        if workflow.mode == "dag":
            unread = [each for each in step.dependencies if each not in read]
            if unread:
                why = f"{step.name} waits for {', '.join(unread)} and reads nothing of it"
                left = [each for each in step.dependencies if each not in unread]
                changes.append(Change(key=where, value=_toml_list(left), why=why))
        elif workflow.mode == "sequential" and index:
            before = {each.name for each in workflow.steps[:index]}
            if not read & before:
                why = f"{step.name} reads nothing of the steps before it"
                changes.append(Change(key=f"workflows.{name}.mode", value='"dag"', why=why))
    return changes


def _toml_list(names: list[str]) -> str:
    return f"[{', '.join(repr(each) for each in names)}]".replace("'", '"')


def _read(step: StepConfig) -> set[str] | None:
    """The steps whose outputs a step reads; None where a configuration does not show it."""
    if step.prompt is None and step.each is None:
        return None  # it is given what was before it
    if step.function is not None:
        try:
            if context_parameter(load_function(step.function)) is not None:
                return None  # it may read anything
        except ConfigError:
            return None
    texts = (step.prompt or "", step.each or "")
    return {each.name for text in texts for each in placeholders(text)}
