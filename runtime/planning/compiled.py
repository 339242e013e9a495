"""What is derived from a workflow's spec, once for all its runs.

Which steps wait for which, how many must be done before each, templates taken apart: none of it
depends on a run. It is kept with the spec object itself, so it lives as long as that does and a
changed copy has its own.
"""

from __future__ import annotations

from typing import Any

from understudy.messages.workflows import Choice, StepSpec, WorkflowSpec
from understudy.runtime.template import Template, template_of

_KEY = "_graph"


class Node:
    """One step, with its neighbours.

    Attributes:
        after: names of the steps it waits for.
        behind: the steps that wait for it.
        bare: it has no templates to be filled in.
        plain: nothing has to be decided when it begins: it is one launch.
        instead: what is done in its place when it has failed.
        facts: what the run actor found out about its target; see `executor`.
    """

    __slots__ = (
        "after",
        "bare",
        "behind",
        "each",
        "facts",
        "index",
        "instead",
        "key",
        "name",
        "on",
        "plain",
        "prompt",
        "step",
        "when",
    )

    def __init__(self, step: StepSpec, index: int, after: tuple[str, ...]) -> None:
        self.step = step
        self.name = step.name
        self.index = index
        self.after = after
        self.behind: list[Node] = []
        self.prompt = _template(step.prompt)
        self.each = _template(step.each)
        self.key = _template(step.key)
        self.when = _template(step.when) if isinstance(step.when, str) else None
        self.on = _template(step.target.on) if isinstance(step.target, Choice) else None
        self.plain = step.each is None and step.when is None and self.on is None
        self.bare = self.prompt is None and self.key is None and self.on is None
        self.facts: Any = None  # Any: the executor's
        instead = step.on_error
        self.instead = Node(instead, index, after) if isinstance(instead, StepSpec) else None


class Graph:
    """The steps of a workflow as nodes.

    Attributes:
        waits: for each node, how many steps must be done before it.
        roots: nodes that wait for nothing.
        sinks: names of the steps that nothing waits for.
    """

    __slots__ = ("by_name", "names", "nodes", "roots", "sinks", "waits")

    def __init__(self, spec: WorkflowSpec) -> None:
        after = dependencies(spec)
        self.nodes = tuple(Node(step, i, after[step.name]) for i, step in enumerate(spec.steps))
        self.by_name = {node.name: node for node in self.nodes}
        for node in self.nodes:
            for other in dict.fromkeys(node.after):
                self.by_name[other].behind.append(node)
        self.waits = [len(set(node.after)) for node in self.nodes]
        self.roots = tuple(node for node in self.nodes if not node.after)
        self.names = tuple(self.by_name)
        self.sinks = tuple(node.name for node in self.nodes if not node.behind)


def graph_of(spec: WorkflowSpec) -> Graph:
    """The graph of this spec; made when it is first asked for."""
    known: dict[str, Any] = spec.__dict__  # Any: also a user's own attributes
    graph: Graph | None = known.get(_KEY)
    if graph is None:
        graph = known[_KEY] = Graph(spec)
    return graph


def dependencies(spec: WorkflowSpec) -> dict[str, tuple[str, ...]]:
    """The steps that each step waits for."""
    if spec.mode == "dag":
        return {step.name: step.after for step in spec.steps}
    if spec.mode == "parallel":
        return {step.name: () for step in spec.steps}
    found: dict[str, tuple[str, ...]] = {}
    previous: tuple[str, ...] = ()
    for step in spec.steps:
        found[step.name] = previous
        previous = (step.name,)
    return found


def _template(text: str | None) -> Template | None:
    return None if text is None else template_of(text)
