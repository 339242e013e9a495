from typing import Any

import msgspec
import pytest

from understudy.actors.models.failures import Refusal
from understudy.actors.models.openai_wire import (
    COMPATIBLE,
    OPENAI,
    read_answer,
    read_refusal,
    request_body,
)
from understudy.messages.chat import (
    AssistantMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from understudy.messages.errors import ConfigError, ResponseError
from understudy.messages.models import Complete


def sent(request: Complete, *, compatible: bool = False, stream: bool = False) -> Any:
    """The decoded body of a request."""
    dialect = COMPATIBLE if compatible else OPENAI
    return msgspec.json.decode(request_body(request, dialect, stream=stream))


def test_the_plainest_request() -> None:
    """What is not set is not sent."""
    request = Complete(model="m", messages=(UserMessage(content="hi"),))
    assert sent(request) == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_every_option() -> None:
    """Zeros are values; `extra` is sent as it is."""
    request = Complete(
        model="m",
        messages=(SystemMessage(content="s"), UserMessage(content="u")),
        temperature=0.0,
        max_tokens=0,
        stop=("a", "b"),
        seed=0,
        extra={"top_p": 0.5, "user": None},
    )
    assert sent(request, stream=True) == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "temperature": 0.0,
        "max_completion_tokens": 0,
        "stop": ["a", "b"],
        "seed": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "top_p": 0.5,
        "user": None,
    }


def test_compatible_servers_know_max_tokens() -> None:
    """OpenAI's newer models reject that field, many other servers know no other."""
    request = Complete(model="m", messages=(), max_tokens=5)
    assert sent(request, compatible=True)["max_tokens"] == 5
    assert "max_completion_tokens" not in sent(request, compatible=True)


def test_a_turn_with_tools() -> None:
    """Calls carry their arguments as a string of JSON, answers the id of their call."""
    request = Complete(
        model="m",
        messages=(
            AssistantMessage(tool_calls=(ToolCall(id="c1", name="f", arguments={"a": 1}),)),
            ToolMessage(call_id="c1", name="f", content="2"),
            AssistantMessage(content="two"),
        ),
    )
    assert sent(request)["messages"] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a":1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "assistant", "content": "two"},
    ]


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
def test_extra_does_not_change_the_question(name: str) -> None:
    """These fields decide how the answer is read."""
    request = Complete(model="m", messages=(), extra={name: True})
    with pytest.raises(ConfigError, match=name):
        request_body(request, OPENAI, stream=False)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"[]",
        b'{"choices": 1}',
        b'{"model": "\xff"}',
        b'{"choices":[{"delta":{"content":' + b"[" * 70 + b"]" * 70 + b"}}]}",
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    """Not JSON, not UTF-8, not this format, or too deep: one error."""
    with pytest.raises(ResponseError):
        read_answer(body)


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (
            b'{"error":{"message":"no","type":"t","param":null,"code":"c"}}',
            Refusal(message="no", type="t", code="c"),
        ),
        (b'{"error":{"message":"no","code":502}}', Refusal(message="no", code="502")),
        (b'{"error":"no"}', Refusal(message="no")),
        (
            b'{"object":"error","message":"no","type":"BadRequestError","code":400}',
            Refusal(message="no", type="BadRequestError", code="400"),
        ),
        (b'{"detail":"Not Found"}', Refusal(message="Not Found")),
        (b"<html>\n<h1>Bad   Gateway</h1>", Refusal(message="<html> <h1>Bad Gateway</h1>")),
        (b"", Refusal()),
        (b"\xff\xfe", Refusal(message="\ufffd\ufffd")),
        (b"[" * 100, Refusal()),
    ],
)
def test_refusals_in_every_form(body: bytes, refusal: Refusal) -> None:
    """OpenAI's, OpenRouter's, Ollama's, vLLM's, FastAPI's, a proxy's."""
    assert read_refusal(body) == refusal
