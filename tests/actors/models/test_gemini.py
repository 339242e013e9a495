from typing import Any

import msgspec
import pytest

from understudy.actors.models.gemini import GeminiContent
from understudy.messages.chat import (
    AssistantMessage,
    Image,
    SystemMessage,
    Text,
    Thought,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from understudy.messages.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextWindowError,
    ModelError,
    RateLimitError,
    ResponseError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.models import OutputSchema, ToolDeclaration

pytestmark = pytest.mark.anyio

PROVIDER = GeminiContent


def chunk(*parts: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk, or a whole answer."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r1", **fields}


async def test_a_whole_answer(player: Any) -> None:
    """All its facts; thoughts are output, what tools put in is input."""
    usage = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 20,
        "toolUsePromptTokenCount": 5,
        "totalTokenCount": 38,
    }
    player.answers(chunk({"text": "Paris."}, finish="STOP", usageMetadata=usage))
    completion = await player.complete(temperature=0.0, max_tokens=9, stop=("x",), seed=0)
    assert completion.message == AssistantMessage(content="Paris.")
    assert completion.usage == Usage(
        input_tokens=15, output_tokens=23, cached_tokens=4, reasoning_tokens=20
    )
    assert (completion.model, completion.request_id) == ("gemini-x", "r1")
    request = player.transport.requests[0]
    base = "https://generativelanguage.googleapis.com/v1beta"
    assert str(request.url) == f"{base}/models/m:generateContent"
    assert request.headers["x-goog-api-key"] == "sk-very-secret"
    assert player.sent == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {
            "temperature": 0.0,
            "maxOutputTokens": 9,
            "stopSequences": ["x"],
            "seed": 0,
        },
    }


@pytest.mark.parametrize("cut", [0, 1, 9])
async def test_a_stream(player: Any, cut: int) -> None:
    """Texts are deltas, calls come whole under STOP, signatures stay with their parts."""
    player.streams(
        chunk({"text": "hm, ", "thought": True}),
        chunk({"text": "naïve", "thought": True, "thoughtSignature": "s0"}),
        chunk({"text": "Let "}),
        chunk({"text": "me"}, {"text": "", "thoughtSignature": "s1"}),
        chunk(
            {
                "functionCall": {"id": "c1", "name": "f", "args": {"x": [1]}},
                "thoughtSignature": "s2",
            },
            {"functionCall": {"name": "g"}},
            finish="STOP",
            usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 4},
        ),
        cut=cut,
    )
    said, thought, completion = await player.stream()
    assert (said, thought) == ("Let me", "hm, naïve")
    assert str(player.transport.requests[0].url).endswith(":streamGenerateContent?alt=sse")
    calls = (ToolCall(id="c1", name="f", arguments={"x": [1]}), ToolCall(id="r1-1", name="g"))
    assert completion.message.tool_calls == calls
    assert completion.finish_reason == "tool_calls"
    assert completion.usage == Usage(input_tokens=3, output_tokens=4)

    player.streams(chunk({"text": "ok"}, finish="STOP"))
    results = [
        ToolMessage(call_id="c1", name="f", content="1"),
        ToolMessage(call_id="r1-1", name="g", content="no", is_error=True),
    ]
    await player.stream(
        messages=(
            SystemMessage(content="Be terse."),
            UserMessage(content="hi"),
            completion.message,
            *results,
            UserMessage(content="and?"),
        )
    )
    assert player.sent["systemInstruction"] == {"parts": [{"text": "Be terse."}]}
    assert player.sent["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "hm, naïve", "thought": True, "thoughtSignature": "s0"},
                {"text": "Let me", "thoughtSignature": "s1"},
                {
                    "functionCall": {"id": "c1", "name": "f", "args": {"x": [1]}},
                    "thoughtSignature": "s2",
                },
                {"functionCall": {"id": "r1-1", "name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "f", "response": {"result": "1"}}},
                {"functionResponse": {"id": "r1-1", "name": "g", "response": {"error": "no"}}},
                {"text": "and?"},
            ],
        },
    ]


@pytest.mark.parametrize(("model", "signed"), [("gemini-2.5-pro", False), ("gemini-3-pro", True)])
async def test_calls_that_another_provider_made(player: Any, model: str, *, signed: bool) -> None:
    """Newer models check signatures, and are told that the first call has none."""
    calls = (ToolCall(id="a", name="f"), ToolCall(id="b", name="g"))
    foreign = Thought(text="mine", provider="anthropic", token="s")
    turn = AssistantMessage(tool_calls=calls, thoughts=(foreign,))
    player.streams(chunk({"text": "ok"}, finish="STOP"))
    await player.stream(model=model, messages=(UserMessage(content="hi"), turn))
    first, second = player.sent["contents"][1]["parts"]
    assert first.get("thoughtSignature") == ("skip_thought_signature_validator" if signed else None)
    assert "thoughtSignature" not in second


@pytest.mark.parametrize(
    ("choice", "strict", "mode"),
    [
        ("required", False, "ANY"),
        ("none", False, "NONE"),
        ("auto", False, "AUTO"),
        ("auto", True, "VALIDATED"),
        (None, True, "VALIDATED"),
        ("required", True, "ANY"),
    ],
)
async def test_tools(player: Any, choice: str | None, mode: str, *, strict: bool) -> None:
    """Their schemas as JSON Schema, and how much of a choice there is."""
    parameters = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
    tool = ToolDeclaration(name="f", description="d", parameters=parameters, strict=strict)
    player.streams(chunk({"text": "ok"}, finish="STOP"))
    await player.stream(tools=(tool,), tool_choice=choice)
    (declared,) = player.sent["tools"][0]["functionDeclarations"]
    assert (declared["name"], declared["description"]) == ("f", "d")
    assert declared["parametersJsonSchema"]["required"] == ["x"]
    assert player.sent["toolConfig"] == {"functionCallingConfig": {"mode": mode}}


async def test_the_shape_of_the_answer_and_other_options(player: Any) -> None:
    """They share an object with what the caller adds."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    player.streams(chunk({"text": "{}"}, finish="STOP"))
    thinking = {"thinkingConfig": {"includeThoughts": True}}
    await player.stream(
        output=OutputSchema(name="N", schema=schema), extra={"generationConfig": thinking}
    )
    assert player.sent["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {**schema, "additionalProperties": False},
        **thinking,
    }


async def test_pictures(player: Any) -> None:
    """As bytes, or by the address of a file."""
    picture = Image(data=b"abc", media_type="image/jpeg")
    content = (Text(text="see"), Image(url="https://x.test/a.png"), picture)
    player.streams(chunk({"text": "ok"}, finish="STOP"))
    await player.stream(messages=(UserMessage(content=content),))
    assert player.sent["contents"][0]["parts"] == [
        {"text": "see"},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://x.test/a.png"}},
        {"inlineData": {"mimeType": "image/jpeg", "data": "YWJj"}},
    ]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("OTHER", "stop"),
    ],
)
async def test_finish_reasons(player: Any, reason: str, finish: str) -> None:
    """Each is one of ours."""
    player.streams(chunk({"text": "a"}, finish=reason))
    assert (await player.stream())[2].finish_reason == finish


@pytest.mark.parametrize(
    ("reason", "retryable"),
    [("MALFORMED_FUNCTION_CALL", True), ("MISSING_THOUGHT_SIGNATURE", False)],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_ends_without_an_answer(
    player: Any, reason: str, *, retryable: bool, stream: bool
) -> None:
    """The model went wrong (again may be better), or the conversation did."""
    if stream:
        player.streams(chunk(finish=reason))
    else:
        player.answers(chunk(finish=reason))
    error = await player.fails(stream=stream)
    assert type(error) is ResponseError
    assert (error.retryable, error.code) == (retryable, reason)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_that_is_blocked(player: Any, *, stream: bool) -> None:
    """It has no candidates: the provider refuses."""
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "responseId": "r"}
    if stream:
        player.streams(blocked)
    else:
        player.answers(blocked)
    error = await player.fails(stream=stream)
    assert type(error) is ContentFilterError
    assert (error.retryable, error.code) == (False, "PROHIBITED_CONTENT")


@pytest.mark.parametrize("end", [b"", b'data: {"candida'])
async def test_a_stream_that_is_cut(player: Any, end: bytes) -> None:
    """There is no end marker: without a finish reason it is broken."""
    player.streams(chunk({"text": "half"}), end=end)
    error = await player.fails(stream=True)
    assert (type(error), error.partial) == (StreamBrokenError, "half")


async def test_a_whole_answer_without_an_end(player: Any) -> None:
    """It is none."""
    player.answers({"candidates": [{"content": {"parts": [{"text": "a"}]}}]})
    assert type(await player.fails()) is ResponseError
    player.answers({})
    assert type(await player.fails()) is ResponseError


async def test_an_error_inside_a_stream(player: Any) -> None:
    """The status has said 200."""
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    player.streams(error)
    found = await player.fails(stream=True)
    assert (type(found), found.retryable, found.code) == (ServerError, True, "UNAVAILABLE")


def refusal(code: int, status: str, said: str = "no", *details: Any) -> dict[str, Any]:
    """An error of Google's."""
    return {"error": {"code": code, "message": said, "status": status, "details": details}}


@pytest.mark.parametrize(
    ("body", "leaf", "retryable", "after"),
    [
        (
            refusal(
                429,
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota, please check your plan and billing details.",
                {"@type": "QuotaFailure", "violations": [{"quotaId": "RequestsPerMinute"}]},
                {"@type": "Help", "links": [{"url": "x"}]},
                {"@type": "RetryInfo", "retryDelay": "22s"},
            ),
            RateLimitError,
            True,
            22.0,
        ),
        (
            refusal(
                429,
                "RESOURCE_EXHAUSTED",
                "quota",
                {"@type": "QuotaFailure", "violations": [{"quotaId": "RequestsPerDayPerModel"}]},
                {"@type": "RetryInfo", "retryDelay": "22.5s"},
            ),
            RateLimitError,
            False,
            22.5,
        ),
        (
            refusal(400, "INVALID_ARGUMENT", "API key not valid.", {"reason": "API_KEY_INVALID"}),
            AuthenticationError,
            False,
            None,
        ),
        (refusal(403, "PERMISSION_DENIED"), AuthenticationError, False, None),
        (refusal(404, "NOT_FOUND"), BadRequestError, False, None),
        (
            refusal(
                400,
                "INVALID_ARGUMENT",
                "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            ),
            ContextWindowError,
            False,
            None,
        ),
        (refusal(500, "INTERNAL"), ServerError, True, None),
        (refusal(503, "UNAVAILABLE"), ServerError, True, None),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
async def test_refusals(
    player: Any,
    body: dict[str, Any],
    leaf: type[ModelError],
    after: float | None,
    *,
    retryable: bool,
    listed: bool,
) -> None:
    """Each status is one leaf; a quota of the day is not waited for; the delay is in the body."""
    status = body["error"]["code"]
    player.answers(msgspec.json.encode([body] if listed else body), status=status)
    error = await player.fails()
    assert (type(error), error.retryable, error.retry_after) == (leaf, retryable, after)
