"""The shape of an answer, where a provider enforces none: it is said in words."""

from typing import Any

import pytest

from understudy.actors.models import (
    anthropic_request,
    gemini_request,
    ollama,
    openai_request,
    responses_request,
)
from understudy.actors.models.profiles import COMPATIBLE, NAMED, OPENAI
from understudy.messages.chat import SystemMessage, UserMessage
from understudy.messages.models import Complete, OutputSchema, ToolDeclaration

NUMBER = OutputSchema(
    name="N",
    schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
)
FREE = OutputSchema(name="D", schema={"type": "object", "additionalProperties": {}})
TOOL = ToolDeclaration(name="f")
BY_NAME = {profile.name: profile for profile in (OPENAI, COMPATIBLE, *NAMED)}


def request(model: str, *, tools: bool = False, output: OutputSchema | None = NUMBER) -> Complete:
    """Asks for a number."""
    return Complete(
        model=model,
        messages=(SystemMessage(content="be kind"), UserMessage(content="hi")),
        tools=(TOOL,) if tools else (),
        output=output,
    )


def body_of(provider: str, asked: Complete) -> dict[str, Any]:
    """The JSON that is sent."""
    match provider:
        case "anthropic":
            return anthropic_request.request_body(asked, stream=False)
        case "gemini":
            return gemini_request.request_body(asked)
        case "ollama":
            return ollama.request_body(asked, stream=False)
        case "openai-responses":
            return responses_request.request_body(asked, stream=False)
        case _:
            return openai_request.request_body(asked, BY_NAME[provider], stream=False)


def enforced(body: dict[str, Any]) -> bool:
    """Whether the provider is told to enforce a schema, in any of their ways."""
    form = body.get("response_format", {}).get("type") == "json_schema"
    return (
        form
        or "output_config" in body
        or "text" in body
        or "format" in body
        or "responseJsonSchema" in body.get("generationConfig", {})
    )


NATIVE, WORDS, BOTH = (True, False), (False, True), (True, True)


@pytest.mark.parametrize(
    ("provider", "model", "alone", "beside_tools"),
    [
        ("openai", "gpt-5-mini", NATIVE, NATIVE),
        ("openai", "gpt-4o-2024-05-13", WORDS, WORDS),
        ("openai", "gpt-4-turbo", WORDS, WORDS),
        ("openai", "gpt-4.1", NATIVE, NATIVE),
        ("openai-responses", "gpt-5-mini", NATIVE, NATIVE),
        ("openai-responses", "gpt-4-0613", WORDS, WORDS),
        ("openai-compatible", "qwen3", BOTH, WORDS),
        ("vllm", "qwen3", BOTH, WORDS),
        ("llamacpp", "qwen3", BOTH, WORDS),
        ("groq", "llama-3.3-70b-versatile", WORDS, WORDS),
        ("deepseek", "deepseek-chat", WORDS, WORDS),
        ("mistral", "mistral-large", NATIVE, NATIVE),
        ("anthropic", "claude-sonnet-4-5", NATIVE, NATIVE),
        ("anthropic", "claude-opus-4-1-20250805", WORDS, WORDS),
        ("anthropic", "claude-3-5-haiku-20241022", WORDS, WORDS),
        ("gemini", "gemini-3-pro", NATIVE, NATIVE),
        ("gemini", "gemini-2.5-flash", NATIVE, WORDS),
        ("gemini", "gemini-2.0-flash", WORDS, WORDS),
        ("ollama", "llama3.2", BOTH, WORDS),
    ],
)
def test_each_model_is_told_in_a_way_it_understands(
    provider: str, model: str, alone: tuple[bool, bool], beside_tools: tuple[bool, bool]
) -> None:
    """Enforced where that works; in words where it does not, or not beside tools."""
    for tools, expected in ((False, alone), (True, beside_tools)):
        body = body_of(provider, request(model, tools=tools))
        assert (enforced(body), "JSON Schema" in str(body)) == expected
        assert "be kind" in str(body)
        nothing = body_of(provider, request(model, tools=tools, output=None))
        assert (enforced(nothing), "JSON Schema" in str(nothing)) == (False, False)


def test_a_schema_that_anthropic_refuses_is_said_in_words() -> None:
    """Objects with free keys cannot be enforced there, and would fail the request."""
    body = body_of("anthropic", request("claude-sonnet-4-5", output=FREE))
    assert "output_config" not in body
    assert '"additionalProperties":{}' in body["system"]


def test_beside_tools_the_words_leave_room_for_calls() -> None:
    """A model that reads "nothing else" would call none."""
    assert "Call tools first" in str(body_of("groq", request("m", tools=True)))
    assert "Call tools first" not in str(body_of("groq", request("m")))
