"""`FakeModel.auto()`: a model that calls every tool once and then answers.

The arguments are made from the schemas, so a test that only runs the agent has met every tool, its
argument checks and what becomes of its result. With `output=` the answer is of that type.
"""

from __future__ import annotations

import json
from typing import Any

from understudy.messages.chat import AssistantMessage, Message, ToolCall, ToolMessage, UserMessage
from understudy.messages.models import Complete
from understudy.testing.samples import sample


def auto_answer(request: Complete) -> str | list[ToolCall]:
    """What such a model says next."""
    turn = _turn(request.messages)
    called = {each.name for said in turn for each in _calls(said)}
    if request.tool_choice != "none":
        left = [each for each in request.tools if each.name not in called]
        if left:
            return [
                ToolCall(id="", name=each.name, arguments=sample(each.parameters) or {})
                for each in left
            ]
    if request.output is not None:
        return json.dumps(sample(request.output.schema))
    results = {each.name: each.content for each in turn if isinstance(each, ToolMessage)}
    return json.dumps(results) if results else "auto"


def _turn(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """What was said since somebody asked."""
    for index in range(len(messages) - 1, -1, -1):
        if isinstance(messages[index], UserMessage):
            return messages[index + 1 :]
    return messages


def _calls(message: Any) -> tuple[ToolCall, ...]:  # Any: a Message
    return message.tool_calls if isinstance(message, AssistantMessage) else ()
