"""A workflow run as a pure state machine.

A `Plan` knows which steps there are, what has come back, and what may start now; it never waits,
reads a clock or touches an actor. The run actor feeds it facts (`done`, with the time) and carries
out the launches that it returns. Dataflow: a step is launched the instant its own dependencies are
done, within the bounds; nothing waits for a level of the graph.

Bounds: at most `max_concurrent` launches are outstanding in a run, at most a step's own
`max_concurrent` of its items, and what may not start yet stays here, not in a mailbox. A launch
that waits for its next attempt is outstanding.

What it knows is in `planning.state`, what follows from an answer in `planning.outcomes`.
"""

from __future__ import annotations

from typing import Any

from understudy.messages.workflows import Choice
from understudy.runtime.planning.compiled import Node
from understudy.runtime.planning.launch import Items, Launch, items_of
from understudy.runtime.planning.outcomes import Outcomes
from understudy.runtime.template import as_text

__all__ = ["Launch", "Plan"]
_NOTHING: list[Launch] = []


class Plan(Outcomes):
    """One run of `spec` with `input_`. Not thread-safe: it belongs to one actor."""

    def launches(self, now: float) -> list[Launch]:
        """What may start now; each is returned once."""
        ready = self._ready
        if not ready and not self._instead:
            return _NOTHING
        found: list[Launch] = []
        blocked: list[Node] = []
        most, running = self.spec.max_concurrent, self._running
        while self.status is None and len(running) < most:
            if self._instead:
                launch: Launch | None = self._instead.pop(0)
            elif not ready:
                break
            else:
                node = ready.pop(0)
                launch = self._whole(node, now) if node.plain else self._decide(node, now, blocked)
            if launch is not None:
                running[launch.path] = launch
                found.append(launch)
        ready.extend(blocked)
        return found

    # -- private -----------------------------------------------------------------------------------

    def _whole(self, node: Node, now: float) -> Launch | None:
        """A step that is one launch."""
        path = self._prefix + node.name
        return self._launch(path, node, node, now, self._scope)

    def _decide(self, node: Node, now: float, blocked: list[Node]) -> Launch | None:
        """A step with a condition, with items, or with a choice."""
        items = self._items.get(node.name)
        if items is None:
            step = node.step
            try:
                if step.when is not None and not self._wanted(node):
                    self._skip(node, f"when={_shown(step.when)} gave nothing")
                    return None
                if node.each is None:
                    return self._whole(node, now)
                items = Items(items_of(step, node.each.render(self._scope)), now)
            except Exception as error:  # noqa: BLE001 - a function in when= raises what it likes
                self._could_not_begin(node, now, error)
                return None
            self._items[node.name] = items
            if items.left == 0:
                self._close_items(node, items, now)
                return None
        bound = node.step.max_concurrent
        if bound is not None and items.running >= bound:
            blocked.append(node)
            return None
        return self._item(node, items, now)

    def _item(self, node: Node, items: Items, now: float) -> Launch | None:
        """The next item of a step with `each`."""
        index = items.next
        items.next += 1
        items.running += 1
        if items.next < len(items.outputs):
            self._ready.append(node)
        path = f"{self._prefix}{node.name}[{index}]"
        if node.bare:
            launch = Launch(path, node, node, items.items[index], node.step.target, now, index)
            launch.label = items.label(index)
            return launch
        return self._launch(path, node, node, now, self._with_item(items, index), index)

    def _with_item(self, items: Items, index: int) -> dict[str, Any]:  # Any: outputs of steps
        return {**self._scope, "item": items.items[index], "index": index}

    def _launch(  # noqa: PLR0917 - by name, the calls cost a tenth of a step
        self,
        path: str,
        node: Node,
        doing: Node,
        now: float,
        values: dict[str, Any],  # Any: outputs of steps
        index: int = 0,
    ) -> Launch | None:
        """A launch, unless it fails, or is skipped, before it begins."""
        items = self._items.get(node.name) if self._items else None
        label = "" if items is None else items.label(index)
        launch = Launch(path, node, doing, None, doing.step.target, now, index, label)
        try:
            prompt = doing.prompt
            if prompt is not None:
                launch.value = prompt.render(values)
            elif items is not None:
                launch.value = values["item"]
            else:
                launch.value = self._given(node)
            if doing.key is not None:
                launch.key = as_text(doing.key.render(values))
            if doing.on is not None and not self._choose(launch, as_text(doing.on.render(values))):
                return None
        except Exception as error:  # noqa: BLE001 - a value's own __str__ or property, too
            self._failed(launch, now, error, 1, 0.0)
            return None
        return launch

    def _given(self, node: Node) -> Any:  # Any: what the target receives
        """What a step without a prompt receives."""
        after = node.after
        if not after:
            return self._first
        if len(after) == 1:
            return self.outputs.get(after[0])
        return "\n\n".join(filter(None, (as_text(self.outputs.get(name)) for name in after)))

    def _choose(self, launch: Launch, case: str) -> bool:
        """Put the chosen target into the launch; False when there is none."""
        choice = launch.target
        if not isinstance(choice, Choice):
            return True
        target = choice.cases.get(case.strip(), choice.default)
        if target is not None:
            launch.target = target
            return True
        why = f"there is no case {case.strip()!r} and no default"
        node, items = launch.node, self._items.get(launch.node.name)
        if items is None:
            self._skip(node, why)
        else:
            name = f"{node.name}[{launch.index}]"
            self._note(name, "skipped", label=launch.label, why=why)
            self._finish(launch, launch.start, None)
        return False

    def _wanted(self, node: Node) -> bool:
        """Whether the condition of a step holds."""
        if node.when is not None:
            return bool(node.when.render(self._scope))
        condition: Any = node.step.when  # Any: a function of the user's
        return bool(condition(self.context))

    def _skip(self, node: Node, why: str) -> None:
        self._note(node.name, "skipped", why=why)
        self._close(node, None, None)

    def _could_not_begin(self, node: Node, now: float, error: Exception) -> None:
        """Its condition raised, or its items are no list."""
        launch = Launch(self._prefix + node.name, node, node, None, None, now)
        self._failed(launch, now, error, 0, 0.0)

    def _put_instead(self, launch: Launch, instead: Node, now: float) -> None:
        """A step has failed: what stands in for it is launched next."""
        node, items = launch.node, self._items.get(launch.node.name)
        path = f"{self._prefix}{instead.name}"
        values = self._scope
        if items is not None:
            path = f"{path}[{launch.index}]"
            values = self._with_item(items, launch.index)
        put = self._launch(path, node, instead, now, values, launch.index)
        if put is not None:
            self._instead.append(put)


def _shown(when: Any) -> str:  # Any: a placeholder or a function
    return repr(when) if isinstance(when, str) else getattr(when, "__name__", "a function")
