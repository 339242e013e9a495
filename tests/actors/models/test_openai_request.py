import logging
from typing import Any

import httpx
import msgspec
import pytest

from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.openai_request import request_body
from understudy.actors.models.profiles import (
    COMPATIBLE,
    NAMED,
    OPENAI,
    Profile,
    profile_for,
)
from understudy.actors.models.provider import ProviderSettings
from understudy.messages.chat import (
    AssistantMessage,
    Image,
    SystemMessage,
    Text,
    Thought,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from understudy.messages.errors import ConfigError
from understudy.messages.models import Complete, OutputSchema, ToolDeclaration
from understudy.messages.secrets import Secret
from understudy.testing import ScriptedTransport

HI = (UserMessage(content="hi"),)
BY_NAME = {profile.name: profile for profile in (OPENAI, COMPATIBLE, *NAMED)}
CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "size": {"type": "integer", "minimum": 0}},
    "required": ["name"],
}
STRICT_CITY = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "size": {"type": ["integer", "null"], "description": "(minimum: 0)"},
    },
    "required": ["name", "size"],
    "additionalProperties": False,
}
TOOL = ToolDeclaration(name="f", description="does f", parameters=CITY, strict=True)


def sent(request: Complete, profile: Profile = OPENAI, *, stream: bool = False) -> Any:
    """The decoded body of a request."""
    body = request_body(request, profile, stream=stream)
    return msgspec.json.decode(msgspec.json.encode(body))


def asked(profile: Profile, base_url: str | None = None, **options: Any) -> tuple[str, Any]:
    """The path and the body that a provider with this profile sends."""
    settings = ProviderSettings(base_url=base_url, api_key=Secret("k"))
    transport = httpx.MockTransport(lambda _: httpx.Response(500))
    provider = OpenAIChat(settings, transport, profile=profile)
    ask = provider.ask(Complete(**{"model": "m", "messages": HI, **options}), stream=True)
    return ask.path, ask.body


def test_the_plainest_request() -> None:
    """What is not set is not sent."""
    request = Complete(model="m", messages=HI)
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
        extra={"top_p": 0.5, "user": None, "stream_options": {"include_obfuscation": False}},
    )
    assert sent(request, stream=True) == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "temperature": 0.0,
        "max_completion_tokens": 0,
        "stop": ["a", "b"],
        "seed": 0,
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "top_p": 0.5,
        "user": None,
    }


def test_compatible_servers_know_max_tokens() -> None:
    """OpenAI's newer models reject that field, many other servers know no other."""
    request = Complete(model="m", messages=(), max_tokens=5)
    assert sent(request, COMPATIBLE)["max_tokens"] == 5
    assert "max_completion_tokens" not in sent(request, COMPATIBLE)


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


def test_tools_are_offered_strictly_where_they_are_enforced() -> None:
    """The strict subset for OpenAI, the schema as it is for servers that do not know it."""
    request = Complete(model="m", messages=HI, tools=(TOOL,), tool_choice="required")
    body = sent(request)
    function = {"name": "f", "description": "does f", "parameters": STRICT_CITY, "strict": True}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == "required"
    plain = {"name": "f", "description": "does f", "parameters": CITY}
    assert sent(request, COMPATIBLE)["tools"] == [{"type": "function", "function": plain}]


def test_a_tool_without_arguments() -> None:
    """It has an empty object, and a choice without tools is not sent."""
    request = Complete(model="m", messages=HI, tools=(ToolDeclaration(name="f"),))
    function = {"name": "f", "parameters": {"type": "object", "properties": {}}}
    assert sent(request)["tools"] == [{"type": "function", "function": function}]
    assert "tool_choice" not in sent(Complete(model="m", messages=HI, tool_choice="required"))


def test_the_shape_of_the_answer() -> None:
    """A strict schema; for servers that only promise JSON, the schema in words."""
    output = OutputSchema(name="City", schema=CITY)
    request = Complete(model="m", messages=(SystemMessage(content="s"), *HI), output=output)
    assert sent(request)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "City", "schema": STRICT_CITY, "strict": True},
    }
    body = sent(request, BY_NAME["deepseek"])
    assert body["response_format"] == {"type": "json_object"}
    told, system, _ = body["messages"]
    assert "JSON Schema" in told["content"]
    assert '"minimum":0' in told["content"]
    assert system["content"] == "s"


def test_a_shape_that_cannot_be_enforced() -> None:
    """Free keys are beyond the subset: the schema goes out as it is."""
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    request = Complete(model="m", messages=HI, output=OutputSchema(name="Any", schema=schema))
    assert sent(request)["response_format"]["json_schema"] == {"name": "Any", "schema": schema}


def test_pictures() -> None:
    """By address, or as bytes in one."""
    picture = Image(data=b"\x89PNG", media_type="image/png")
    content = (Text(text="see"), Image(url="https://x.test/a.png"), picture)
    assert sent(Complete(model="m", messages=(UserMessage(content=content),)))["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
            ],
        }
    ]


def test_thoughts_go_back_to_whom_they_came_from() -> None:
    """With the calls they led to, in the field that the server reads; to nobody else."""
    call = ToolCall(id="c", name="f")
    mine = AssistantMessage(tool_calls=(call,), thoughts=(Thought(text="hm", provider="deepseek"),))
    request = Complete(model="m", messages=(mine,))
    assert sent(request, BY_NAME["deepseek"])["messages"][0]["reasoning_content"] == "hm"
    assert "reasoning" not in sent(request, BY_NAME["openrouter"])["messages"][0]
    assert sent(request)["messages"][0].keys() == {"role", "content", "tool_calls"}


def test_one_system_message() -> None:
    """Servers with a chat template of one place for it get them joined, in front."""
    messages = (SystemMessage(content="a"), *HI, SystemMessage(content="b"))
    request = Complete(model="m", messages=messages)
    assert [m["content"] for m in sent(request, COMPATIBLE)["messages"]] == ["a\n\nb", "hi"]
    assert [m["content"] for m in sent(request)["messages"]] == ["a", "hi", "b"]


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
def test_extra_does_not_change_the_question(name: str) -> None:
    """These fields decide how the answer is read."""
    request = Complete(model="m", messages=(), extra={name: True})
    with pytest.raises(ConfigError, match=name):
        request_body(request, OPENAI, stream=False)


@pytest.mark.parametrize("model", ["o3-mini", "gpt-5-mini", "gpt-6", "openai/o1"])
def test_reasoning_models_are_not_sent_what_they_refuse(
    model: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither from the options nor from `extra`; the log says so once."""
    settings = ProviderSettings(api_key=Secret("k"))
    provider = OpenAIChat(settings, httpx.MockTransport(lambda _: httpx.Response(500)))
    request = Complete(
        model=model,
        messages=HI,
        temperature=0.0,
        max_tokens=5,
        extra={"top_p": 1, "max_tokens": 9, "reasoning_effort": "low"},
    )
    with caplog.at_level(logging.WARNING, logger="understudy.models"):
        for _ in range(2):
            body = provider.ask(request, stream=False).body
            assert body.keys() == {
                "model",
                "messages",
                "max_completion_tokens",
                "reasoning_effort",
            }
    told = sorted(record.getMessage().split()[1] for record in caplog.records)
    assert told == ["max_tokens", "temperature", "top_p"]


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini", "gpt-35-turbo", "gpt-5-chat-latest"])
def test_other_models_get_their_temperature(model: str) -> None:
    """Also 0.0."""
    _, body = asked(OPENAI, model=model, temperature=0.0)
    assert body["temperature"] == 0.0


def test_a_choice_that_a_server_does_not_know(caplog: pytest.LogCaptureFixture) -> None:
    """It becomes `auto`, and the log says so once."""
    with caplog.at_level(logging.WARNING, logger="understudy.models"):
        _, body = asked(BY_NAME["moonshot"], tools=(TOOL,), tool_choice="required")
    assert body["tool_choice"] == "auto"
    assert "tool_choice='required'" in caplog.text


def test_mistral() -> None:
    """Another name for the seed, and no options for streams."""
    _, body = asked(BY_NAME["mistral"], seed=1)
    assert body["random_seed"] == 1
    assert body["stream"] is True
    assert not {"seed", "stream_options"} & body.keys()


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        (
            "https://r.openai.azure.com",
            "/openai/deployments/my%2Fgpt/chat/completions?api-version=2024-10-21",
        ),
        ("https://r.openai.azure.com/openai/v1", "/chat/completions"),
    ],
)
def test_azure(base_url: str, path: str) -> None:
    """Its addresses by deployment, or its newer ones."""
    assert asked(BY_NAME["azure"], base_url, model="my/gpt")[0] == path


@pytest.mark.parametrize(
    ("base_url", "known"),
    [
        ("https://api.deepseek.com/v1", "deepseek"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://x.openai.azure.com/openai/v1", "azure"),
        ("http://localhost:11434/v1", "ollama-openai"),
        ("http://127.0.0.1:1234/v1", "lmstudio"),
        ("https://api.openai.com/v1", "openai"),
        ("http://localhost:8000/v1", None),
        (None, None),
    ],
)
def test_a_host_gives_its_server_away(base_url: str | None, known: str | None) -> None:
    """And keeps the name that it was called by; a profile that was named is meant."""
    for profile in (OPENAI, COMPATIBLE):
        found = profile_for(profile, base_url)
        assert found.name == profile.name
        assert found.key_variable == profile.key_variable
        if known is None:
            assert found == profile
        else:
            assert (found.output, found.hosts) == (BY_NAME[known].output, BY_NAME[known].hosts)
    assert profile_for(BY_NAME["vllm"], base_url) == BY_NAME["vllm"]


@pytest.mark.anyio
@pytest.mark.parametrize("profile", [OPENAI, COMPATIBLE, *NAMED], ids=lambda p: p.name)
async def test_every_profile_reaches_its_server(profile: Profile) -> None:
    """At its own address, with its key in the header that it reads."""
    base_url = profile.base_url or "https://r.openai.azure.com"
    transport = ScriptedTransport([{"json": {"choices": [{"message": {"content": "a"}}]}}])
    settings = ProviderSettings(
        base_url=None if profile.base_url else base_url, api_key=Secret("k")
    )
    provider = OpenAIChat(settings, transport, profile=profile)
    completion = await provider.complete(Complete(model="m", messages=HI), timeout=10)
    assert completion.provider == provider.name == profile.name
    azure = provider.profile.deployments
    request = transport.requests[0]
    assert str(request.url).startswith(base_url)
    header, value = ("api-key", "k") if azure else ("authorization", "Bearer k")
    assert request.headers[header] == value
