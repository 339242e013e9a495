"""Several answers in one: what `agent.batch` asks for, and which answers it can be sure of.

Each prompt has an id that says nothing about its place, and each answer repeats the id of what it
answers. An answer counts when its id is one of those, came once, and the answer is of the type.
Everything else is nobody's answer: its prompt is asked alone. So reading never fails; also of an
answer that was cut, those that are complete count.

Numbers would do as ids until a model leaves one prompt out and goes on counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from understudy.actors.agents.output import OutputPlan, read_value
from understudy.actors.agents.shapes import MismatchError, Shape
from understudy.actors.rules.json_items import ArraySplitter
from understudy.actors.rules.json_text import json_value, json_values


class Answer(NamedTuple):
    """One of the answers.

    Attributes:
        value: of the agent's type.
        text: as the model wrote it.
    """

    value: Any  # Any: whatever the agent's output is
    text: str


class BatchPlan(OutputPlan):
    """Asks for the answers to some prompts; reads them into a dictionary by id.

    Args:
        prompts: what is asked.
        inner: the plan of the agent's output; None: text.
    """

    def __init__(self, prompts: Sequence[str], inner: OutputPlan | None) -> None:
        self._inner = inner
        self.ids = tuple(
            blake2b(f"{number}:{prompt}".encode("utf-8", "replace"), digest_size=4).hexdigest()
            for number, prompt in enumerate(prompts)
        )
        self.prompt = _asked(self.ids, prompts)
        answer = {"type": "string"} if inner is None else inner.shape.schema
        element = {
            "type": "object",
            "properties": {"id": {"type": "string"}, "answer": answer},
            "required": ["id", "answer"],
        }
        definitions = {} if inner is None else inner.shape.definitions
        shape = Shape({"type": "array", "items": element}, definitions, lambda data: data)
        super().__init__(shape, "Answers" if inner is None else f"Answers_{inner.name}")

    def read(self, text: str) -> dict[str, Answer]:
        """The answers that are certain, by the ids of their prompts."""
        found: dict[str, Answer] = {}
        seen: set[str] = set()
        for entry in _entries(text):
            known = entry.get("id") if isinstance(entry, dict) else None
            if not isinstance(known, str):
                continue
            if known in seen:
                found.pop(known, None)  # two answers to one question are none
                continue
            seen.add(known)
            answer = self._answer(entry.get("answer"))
            if answer is not None:
                found[known] = answer
        return found

    def _answer(self, data: Any) -> Answer | None:  # Any: JSON
        if self._inner is None:
            return Answer(data, data) if isinstance(data, str) else None
        try:
            value = read_value(self._inner.shape, data)
        except MismatchError:
            return None
        return Answer(value, msgspec.json.encode(data).decode())


def _asked(ids: Sequence[str], prompts: Sequence[str]) -> str:
    requests = [{"id": key, "request": prompt} for key, prompt in zip(ids, prompts, strict=True)]
    listed = msgspec.json.format(msgspec.json.encode(requests), indent=1).decode()
    return (
        f"Here are {len(prompts)} requests. Answer each on its own, as if it were the only one, "
        f"and put the id of the request beside its answer.\n\n{listed}"
    )


def _entries(text: str) -> list[Any]:  # Any: JSON
    complete = []
    for element in ArraySplitter().feed(text):
        try:
            complete.append(json_value(element))
        except ValueError:  # wrong from here on
            break
    if complete:
        return complete
    for data in json_values(text):
        entries = data.get("items") if isinstance(data, dict) else data
        if isinstance(entries, list):
            return entries
    return []
