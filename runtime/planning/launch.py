"""What is under way in a run: launches, and the progress of steps that are done once per item."""

from __future__ import annotations

from typing import Any, final

from understudy.messages.chat import Usage
from understudy.messages.errors import WorkflowError
from understudy.messages.records import NO_USAGE
from understudy.messages.workflows import StepSpec
from understudy.runtime.planning.compiled import Node
from understudy.runtime.template import label_of

MAX_ITEMS = 10_000
"""Items of one step with `each`."""


@final
class Launch:
    """Do this: a step, an item of one, or what stands in for either.

    Attributes:
        node: the step of the graph that it is for.
        doing: the node whose target is called; another than `node` for a fallback.
        value: what the target receives.
        attempt: counts from 1.
        reply: the run actor's; how it will be told.
    """

    __slots__ = (
        "attempt",
        "cost",
        "doing",
        "index",
        "key",
        "label",
        "node",
        "path",
        "reply",
        "start",
        "target",
        "usage",
        "value",
    )

    def __init__(  # noqa: PLR0917 - by name, it costs twice as much
        self,
        path: str,
        node: Node,
        doing: Node,
        value: Any,  # Any: what the target receives
        target: Any,  # Any: agent, function, workflow or pool
        start: float,
        index: int = 0,
        label: str = "",
        key: str | None = None,
    ) -> None:
        self.path = path
        self.node = node
        self.doing = doing
        self.value = value
        self.target = target
        self.start = start
        self.index = index
        self.label = label
        self.key = key
        self.attempt = 1
        self.usage: Usage = NO_USAGE
        self.cost: float | None = None
        self.reply: Any = None  # Any: a Reply, which is no business of a plan

    @property
    def step(self) -> StepSpec:
        """What is done."""
        return self.doing.step


class Items:
    """A step with `each` that has begun."""

    __slots__ = (
        "cost",
        "end",
        "errors",
        "items",
        "left",
        "next",
        "outputs",
        "running",
        "start",
        "usage",
    )

    def __init__(self, items: list[Any], start: float) -> None:
        self.items = items
        self.outputs: list[Any] = [None] * len(items)
        self.next = 0
        self.left = len(items)
        self.running = 0
        self.start = start
        self.end: float | None = None
        self.usage: Usage = NO_USAGE
        self.cost: float | None = None
        self.errors: list[BaseException] = []

    def label(self, index: int) -> str:
        """What an item is called."""
        return label_of(self.items[index])


def items_of(step: StepSpec, value: Any) -> list[Any]:  # Any: what a placeholder named
    """The items of a step with `each`.

    Raises:
        WorkflowError: it is no list, or too long.
    """
    if isinstance(value, (list, tuple)):
        if len(value) > MAX_ITEMS:
            msg = (
                f"step {step.name!r}: each={step.each!r} has {len(value):,} items; "
                f"{MAX_ITEMS:,} at most"
            )
            raise WorkflowError(msg, step=step.name)
        return list(value)
    kind = type(value).__name__
    msg = f"step {step.name!r}: each={step.each!r} is a {kind}, not a list"
    raise WorkflowError(msg, step=step.name)
