"""A workflow as a picture: the text of a Mermaid flowchart, or of a Graphviz graph.

Steps are boxes, workflows within are boxes around boxes, a choice is a diamond with its cases as
labels. What a step has besides its target (a condition, items, retries) is written into its box; a
dotted line leads to what is done when it has failed.
"""

from __future__ import annotations

from collections.abc import Iterator

from understudy.messages.agents import AgentSpec
from understudy.messages.conditions import describe
from understudy.messages.functions import FunctionRef
from understudy.messages.workflows import Choice, PoolRef, StepSpec, WorkflowSpec
from understudy.runtime.planning.compiled import dependencies


def mermaid(spec: WorkflowSpec) -> str:
    """The graph for Mermaid; most forges show it in a fenced block that says so."""
    return "\n".join(["flowchart TD", *_mermaid(spec, "", "  ")])


def dot(spec: WorkflowSpec) -> str:
    """The graph for Graphviz: `dot -Tsvg`."""
    head = f"digraph {_quoted(spec.name)} {{"
    return "\n".join([head, "  rankdir=TB;", "  node [shape=box];", *_dot(spec, "", "  "), "}"])


def _mermaid(spec: WorkflowSpec, prefix: str, pad: str) -> Iterator[str]:
    for step in spec.steps:
        id_ = _id(prefix, step.name)
        if isinstance(step.target, WorkflowSpec):
            yield f'{pad}subgraph {id_}["{_plain(_label(step))}"]'
            yield from _mermaid(step.target, f"{prefix}{step.name}/", f"{pad}  ")
            yield f"{pad}end"
        elif isinstance(step.target, Choice):
            yield f'{pad}{id_}{{"{_plain(_label(step))}"}}'
        else:
            yield f'{pad}{id_}["{_plain(_label(step))}"]'
        if isinstance(step.on_error, StepSpec):
            other = _id(prefix, step.on_error.name)
            yield f'{pad}{other}["{_plain(_label(step.on_error))}"]'
            yield f"{pad}{id_} -. on error .-> {other}"
    for first, then in _edges(spec):
        yield f"{pad}{_id(prefix, first)} --> {_id(prefix, then)}"
    if spec.mode == "loop":
        first, last = spec.steps[0].name, spec.steps[-1].name
        told = _plain(_again(spec))
        yield f'{pad}{_id(prefix, last)} -- "{told}" --> {_id(prefix, first)}'


def _dot(spec: WorkflowSpec, prefix: str, pad: str) -> Iterator[str]:
    for step in spec.steps:
        id_ = _quoted(prefix + step.name)
        if isinstance(step.target, WorkflowSpec):
            yield f"{pad}subgraph {_quoted(f'cluster_{prefix}{step.name}')} {{"
            yield f"{pad}  label={_quoted(_label(step))};"
            yield f"{pad}  {id_} [shape=point];"
            yield from _dot(step.target, f"{prefix}{step.name}/", f"{pad}  ")
            yield f"{pad}}}"
        else:
            shape = ", shape=diamond" if isinstance(step.target, Choice) else ""
            yield f"{pad}{id_} [label={_quoted(_label(step))}{shape}];"
        if isinstance(step.on_error, StepSpec):
            other = _quoted(prefix + step.on_error.name)
            yield f"{pad}{other} [label={_quoted(_label(step.on_error))}];"
            yield f'{pad}{id_} -> {other} [style=dotted, label="on error"];'
    for first, then in _edges(spec):
        yield f"{pad}{_quoted(prefix + first)} -> {_quoted(prefix + then)};"
    if spec.mode == "loop":
        first, last = _quoted(prefix + spec.steps[0].name), _quoted(prefix + spec.steps[-1].name)
        yield f"{pad}{last} -> {first} [style=dashed, label={_quoted(_again(spec))}];"


def _edges(spec: WorkflowSpec) -> Iterator[tuple[str, str]]:
    for name, after in dependencies(spec).items():
        for other in after:
            yield other, name


def _label(step: StepSpec) -> str:
    parts = [step.name, _target(step.target)]
    if step.each is not None:
        parts.append(f"each {step.each}")
    if step.when is not None:
        shown = step.when if isinstance(step.when, str) else describe(step.when)
        parts.append(f"when {shown}")
    if step.retries:
        parts.append(f"{step.retries} retries")
    return "\n".join(filter(None, parts))


def _target(target: object) -> str:
    match target:
        case AgentSpec():
            model = target.model if isinstance(target.model, str) else "agent"
            return target.name or model
        case WorkflowSpec():
            return f"{target.name} ({target.mode})" if target.mode != "loop" else target.name
        case FunctionRef(path=path):
            return path
        case PoolRef(name=name):
            return f"pool {name}"
        case Choice():
            cases = [f"{case}: {_target(each)}" for case, each in target.cases.items()]
            if target.default is not None:
                cases.append(f"else: {_target(target.default)}")
            return "\n".join([target.on, *cases])
    return getattr(target, "__name__", type(target).__name__)


def _again(spec: WorkflowSpec) -> str:
    until = "" if spec.until is None else f" until {describe(spec.until)}"
    return f"at most {spec.max_iterations} times{until}"


def _id(prefix: str, name: str) -> str:
    """A name that Mermaid takes as it is, and that no other step has."""
    return "s_" + "".join(
        c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in prefix + name
    )


def _plain(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace('"', "&quot;")
    return escaped.replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br/>")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
