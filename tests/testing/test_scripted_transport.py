import httpx
import pytest

from understudy import Agent, BadRequestError, Runtime
from understudy.testing import ScriptedTransport

pytestmark = pytest.mark.anyio

ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
AGENT = Agent("openai-compatible:m", base_url="http://provider.example/v1")


async def test_a_runtime_speaks_through_a_scripted_transport() -> None:
    """The transport that a Runtime is given carries its models' requests, in the script's order."""
    transport = ScriptedTransport(
        [
            {"json": ANSWER},
            {"status": 400, "json": {"error": {"message": "no"}}},
            httpx.Response(200, json=ANSWER),
        ]
    )
    async with Runtime(transport=transport) as rt:
        assert (await rt.arun(AGENT, "hi", temperature=0.0)).output == "hello"
        with pytest.raises(BadRequestError, match="no"):
            await rt.arun(AGENT, "hi")
        assert (await rt.arun(AGENT, "hi")).usage.total_tokens == 4
    assert [str(request.url) for request in transport.requests] == [
        "http://provider.example/v1/chat/completions"
    ] * 3
    assert b'"temperature":0.0' in transport.requests[0].content.replace(b" ", b"")
    assert transport.closed


async def test_a_function_answers_requests() -> None:
    """A function, sync or async, may decide by the request."""

    async def answer(request: httpx.Request) -> dict[str, object]:
        return {"json": {"path": request.url.path}}

    async with httpx.AsyncClient(transport=ScriptedTransport(answer)) as client:
        assert (await client.get("http://x.example/a")).json() == {"path": "/a"}


async def test_one_request_too_many_says_so() -> None:
    """Exceptions are raised; a script that is used up names its length and the request."""
    transport = ScriptedTransport([httpx.ConnectError("refused")])
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.ConnectError, match="refused"):
            await client.get("http://x.example/a")
        with pytest.raises(AssertionError, match="has 1 answers, and GET /a is one more"):
            await client.get("http://x.example/a")
