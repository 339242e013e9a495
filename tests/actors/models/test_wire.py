from typing import Any

import msgspec
import pytest

from understudy.actors.models.failures import Refusal
from understudy.actors.models.openai_wire import read_answer, read_vectors
from understudy.actors.models.wire import address_of, merged, read_refusal
from understudy.messages.chat import Image
from understudy.messages.errors import ConfigError, ResponseError


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


def google(*details: dict[str, Any], status: str = "RESOURCE_EXHAUSTED") -> bytes:
    """An error of Google's."""
    error = {"code": 429, "message": "no", "status": status, "details": details}
    return msgspec.json.encode({"error": error})


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
        (
            b'{"type":"error","error":{"type":"overloaded_error","message":"no"},"request_id":"r"}',
            Refusal(message="no", type="overloaded_error"),
        ),
        (
            google({"@type": "RetryInfo", "retryDelay": "22s"}, {"violations": [{}]}),
            Refusal(
                message="no", code="RESOURCE_EXHAUSTED", type="RESOURCE_EXHAUSTED", retry_after=22.0
            ),
        ),
        (
            google({"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}),
            Refusal(message="no", code="RESOURCE_EXHAUSTED", type="RESOURCE_EXHAUSTED", spent=True),
        ),
        (
            google({"reason": "API_KEY_INVALID"}, status="INVALID_ARGUMENT"),
            Refusal(message="no", code="API_KEY_INVALID", type="INVALID_ARGUMENT"),
        ),
        (
            b"[" + google() + b"]",
            Refusal(message="no", code="RESOURCE_EXHAUSTED", type="RESOURCE_EXHAUSTED"),
        ),
        (b'{"error":{"message":"no","details":"text"}}', Refusal(message="no")),
    ],
)
def test_refusals_in_every_form(body: bytes, refusal: Refusal) -> None:
    """OpenAI's, OpenRouter's, Ollama's, vLLM's, FastAPI's, a proxy's, Anthropic's, Google's."""
    assert read_refusal(body) == refusal


def test_extra_is_merged_into_objects() -> None:
    """So that one option of many can be added; everything else is replaced."""
    body = {"options": {"a": 1, "b": 2}, "stop": ["x"], "model": "m"}
    assert merged(body, {"options": {"b": 3, "c": 4}, "stop": []}, ("model",)) == {
        "options": {"a": 1, "b": 3, "c": 4},
        "stop": [],
        "model": "m",
    }
    assert body["options"] == {"a": 1, "b": 2}
    with pytest.raises(ConfigError, match="'model'"):
        merged(body, {"model": "n"}, ("model",))


def test_pictures_have_an_address() -> None:
    """Their own, or one that holds them."""
    assert address_of(Image(url="https://x.test/a.png")) == "https://x.test/a.png"
    picture = Image(data=b"abc", media_type="image/jpeg")
    assert address_of(picture) == "data:image/jpeg;base64,YWJj"
    with pytest.raises(ConfigError, match="exactly one"):
        Image()


@pytest.mark.parametrize("embedding", ["*", "AAA=", 1, {}])
def test_vectors_that_are_none(embedding: Any) -> None:
    """No base64, cut inside a number, or nothing of the kind."""
    with pytest.raises(ResponseError):
        read_vectors(msgspec.json.encode({"data": [{"embedding": embedding}]}))
