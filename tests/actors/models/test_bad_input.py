"""What can be wrong with a call, over real sockets: one error each, with its facts and a remedy."""

import asyncio
import contextlib
import ssl
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from understudy import Agent, Runtime
from understudy.actors.models.provider import Provider, ProviderSettings
from understudy.actors.models.registry import provider_for
from understudy.actors.models.transport import LeasedTransport
from understudy.messages.chat import UserMessage
from understudy.messages.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ConnectError,
    ContentFilterError,
    ContextWindowError,
    ModelError,
    RateLimitError,
    ResponseError,
    ServerError,
    UnderstudyError,
    to_wire,
)
from understudy.messages.models import Complete
from understudy.messages.secrets import Secret
from understudy.testing import ProviderServer, ScriptedTransport
from understudy.testing.provider_server import (
    NAMED,
    Fault,
    Huge,
    InvalidUtf8,
    Limits,
    Malformed,
    Status,
)

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret-0123456789"
ASK = Complete(model="m", messages=(UserMessage(content="hi"),))
PROVIDERS = ("openai-compatible", "openai-responses", "anthropic", "ollama")
HTML = b"<html><head><title>Sign in</title></head><body>Wi-Fi of the hotel</body></html>"
MEBIBYTE = 1024 * 1024


class Bad(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong, and the error that it is.

    Attributes:
        fault: what the server does; None: what its options say.
        server: options of the server.
        remedy: what the message must say that can be done.
    """

    leaf: type[ModelError]
    status: int
    remedy: str
    fault: Fault | None = None
    server: dict[str, Any] = {}
    retryable: bool = False


def says(status: int, message: str, code: str = "", **facts: Any) -> Fault:
    """A refusal in the protocol's own form."""
    return Status(status=status, message=message, code=code, **facts)


CASES = {
    "wrong key": Bad(
        server={"api_key": "another"},
        leaf=AuthenticationError,
        status=401,
        remedy="check the API key",
    ),
    "key quoted": Bad(
        fault=says(401, f"Incorrect API key provided: {KEY}."),
        leaf=AuthenticationError,
        status=401,
        remedy="check the API key",
    ),
    "unknown model": Bad(
        server={"models": ("another",)},
        leaf=BadRequestError,
        status=404,
        remedy="check the model's name and base_url",
    ),
    "context too long": Bad(
        fault=says(400, "prompt is too long: 9 tokens > 5 maximum"),
        leaf=ContextWindowError,
        status=400,
        remedy="shorten the history",
    ),
    "request too large": Bad(
        fault=says(413, "too large"), leaf=BadRequestError, status=413, remedy="send less"
    ),
    "too often": Bad(
        server={"limits": Limits(requests_per_minute=0.1, burst=1)},
        leaf=RateLimitError,
        status=429,
        remedy="call less often",
    ),
    "out of money": Bad(
        fault=says(402, "pay"), leaf=RateLimitError, status=402, remedy="quota or budget"
    ),
    "HTML with 200": Bad(
        fault=Malformed(body=HTML, content_type="text/html"),
        leaf=ResponseError,
        status=200,
        remedy="is base_url right",
    ),
    "HTML as JSON": Bad(
        fault=Malformed(body=HTML), leaf=ResponseError, status=200, remedy="is base_url right"
    ),
    "not JSON": Bad(
        fault=NAMED["malformed"], leaf=ResponseError, status=200, remedy="is base_url right"
    ),
    "invalid UTF-8": Bad(
        fault=InvalidUtf8(), leaf=ResponseError, status=200, remedy="is base_url right"
    ),
    "100 MB": Bad(
        fault=Huge(size=100 * MEBIBYTE),
        leaf=ResponseError,
        status=200,
        remedy="max_response_bytes=",
    ),
    "overloaded": Bad(
        fault=says(503, "overloaded"),
        leaf=ServerError,
        status=503,
        remedy="try later, or another model",
        retryable=True,
    ),
}


@contextlib.asynccontextmanager
async def served(name: str, bad: Bad) -> AsyncIterator[Provider]:
    """A provider that speaks to a server with which that is wrong."""
    faults = () if bad.fault is None else (bad.fault,)
    async with ProviderServer(faults=faults, **bad.server) as server, LeasedTransport() as leased:
        if "limits" in bad.server:
            await LeasedTransport.handle_async_request(leased, _chat(server))
        base_url = server.base_url if name.startswith("openai") else server.url
        settings = ProviderSettings(base_url=base_url, api_key=Secret(KEY))
        yield provider_for(name).factory(settings, leased)


def _chat(server: ProviderServer) -> httpx.Request:
    """Somebody else's request, which uses up what is allowed."""
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
    return httpx.Request("POST", f"{server.base_url}/chat/completions", content=body)


async def failure(provider: Provider, *, stream: bool) -> ModelError:
    """The error of a call."""
    with pytest.raises(ModelError) as caught:
        await (_drain(provider) if stream else provider.complete(ASK, timeout=60))
    return caught.value


async def _drain(provider: Provider) -> None:
    async with contextlib.aclosing(provider.stream(ASK, timeout=60)) as pieces:
        async for _ in pieces:
            pass


def tells_no_key(error: BaseException) -> None:
    """Neither its sentence, its facts, its wire form, nor a traceback of it and its causes."""
    told = "".join(traceback.format_exception(error))
    facts = f"{error!r} {vars(error)!r} {to_wire(error)!r}"
    assert KEY not in told + facts


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("case", CASES)
async def test_one_error_with_its_facts(case: str, name: str, *, stream: bool) -> None:
    """Provider, model, status, request id, whether to try again, what to do; and no key."""
    bad = CASES[case]
    async with served(name, bad) as provider:
        error = await failure(provider, stream=stream)
    assert type(error) is bad.leaf
    assert (error.provider, error.model, error.status) == (name, "m", bad.status)
    assert error.request_id
    assert error.retryable is bad.retryable
    assert error.message.startswith(f"{name}:m: ")
    assert bad.remedy in error.message
    tells_no_key(error)


@pytest.mark.parametrize("name", ["openai-compatible", "openai-responses", "anthropic"])
async def test_what_is_filtered(name: str) -> None:
    """Refused for what it is about: its own leaf, and not to be tried again."""
    bad = Bad(
        fault=says(400, "filtered", "content_filter"),
        leaf=ContentFilterError,
        status=400,
        remedy="",
    )
    async with served(name, bad) as provider:
        error = await failure(provider, stream=False)
    assert (type(error), error.status, error.retryable) == (ContentFilterError, 400, False)
    assert "word the prompt otherwise" in error.message


async def test_an_answer_that_ends_in_a_filter(runtime: Runtime) -> None:
    """With status 200 and an empty answer: the same leaf."""
    answer = {
        "choices": [{"finish_reason": "content_filter", "message": {"content": ""}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 0},
    }
    transport = ScriptedTransport([{"json": answer, "headers": {"x-request-id": "r1"}}])
    async with Runtime(transport=transport) as rt:
        error = await _run(rt, Agent("openai-compatible:m", base_url="http://x/v1"))
    assert isinstance(error, ContentFilterError)
    assert (error.provider, error.model, error.request_id) == ("openai-compatible", "m", "r1")
    assert "word the prompt otherwise" in error.message


# -- before and below HTTP -------------------------------------------------------------------------


async def _run(rt: Runtime, agent: Agent[Any], **options: Any) -> UnderstudyError:
    with pytest.raises(UnderstudyError) as caught:
        await rt.arun(agent, "hi", **options)
    return caught.value


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("openai:m", "OPENAI_API_KEY"),
        ("openai-responses:m", "OPENAI_API_KEY"),
        ("anthropic:m", "ANTHROPIC_API_KEY"),
        ("gemini:m", "GEMINI_API_KEY"),
    ],
)
async def test_no_key(model: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told before anything is sent, with the variable to set."""
    monkeypatch.delenv(variable, raising=False)
    transport = ScriptedTransport([])
    async with Runtime(transport=transport) as rt:
        error = await _run(rt, Agent(model))
    assert isinstance(error, AuthenticationError)
    assert (error.provider, error.model) == (model.partition(":")[0], "m")
    assert (error.status, error.request_id, error.retryable) == (None, None, False)
    assert f"export {variable}=" in error.message
    assert transport.requests == []


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("localhost:8000/v1", r"'localhost:8000/v1' has no scheme; write 'https://localhost:8000"),
        ("ftp://host/v1", "has the scheme 'ftp'"),
        ("https:///v1", "names no host"),
        (f"https://user:{KEY}@host/v1", "pass the key as api_key="),
        (f"https://host/v1?key={KEY}", "has a query"),
    ],
)
async def test_base_urls_that_are_none(base_url: str, said: str) -> None:
    """A mistake in the configuration, with what to write instead."""
    async with Runtime(transport=ScriptedTransport([])) as rt:
        error = await _run(rt, Agent("openai-compatible:m", base_url=base_url, api_key=Secret(KEY)))
    assert isinstance(error, ConfigError)
    assert said in error.message
    tells_no_key(error)


async def test_a_key_that_fits_no_header() -> None:
    """Copied with its line end: told without showing it."""
    agent = Agent("openai-compatible:m", base_url="http://x/v1", api_key=Secret(f"{KEY}\n"))
    async with Runtime(transport=ScriptedTransport([])) as rt:
        error = await _run(rt, agent)
    assert isinstance(error, ConfigError)
    assert "check how it was copied" in error.message
    tells_no_key(error)


async def test_nobody_listens() -> None:
    """Refused connections may pass, and the error names the address."""
    async with ProviderServer() as server:
        gone = server.base_url
    async with LeasedTransport() as leased:
        settings = ProviderSettings(base_url=gone, api_key=Secret(KEY))
        error = await failure(
            provider_for("openai-compatible").factory(settings, leased), stream=False
        )
    assert (type(error), error.status, error.retryable) == (ConnectError, None, True)
    assert "is the server running, and is base_url right?" in error.message
    tells_no_key(error)


async def test_tls_with_a_server_that_speaks_none() -> None:
    """A connect error, which says that it was TLS."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    context = ssl.create_default_context()
    async with server, LeasedTransport(ssl_context=context) as leased:
        settings = ProviderSettings(base_url=f"https://127.0.0.1:{port}", api_key=Secret(KEY))
        error = await failure(
            provider_for("openai-compatible").factory(settings, leased), stream=False
        )
    assert type(error) is ConnectError
    assert (error.provider, error.model) == ("openai-compatible", "m")
    assert "SSL" in error.message.upper()
    tells_no_key(error)


async def test_a_certificate_that_nobody_signed() -> None:
    """Over a real socket: not to be tried again, and which variable names an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "loopback.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server, LeasedTransport() as leased:
        settings = ProviderSettings(base_url=f"https://127.0.0.1:{port}", api_key=Secret(KEY))
        error = await failure(
            provider_for("openai-compatible").factory(settings, leased), stream=False
        )
    assert (type(error), error.retryable, error.status) == (ConnectError, False, None)
    assert "SSL_CERT_FILE" in error.message
    tells_no_key(error)


def _certificate() -> Exception:
    error = httpx.ConnectError("certificate verify failed: self-signed certificate")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    return error


@pytest.mark.parametrize(
    ("raised", "remedy"),
    [
        (_certificate(), "SSL_CERT_FILE"),
        (httpx.ProxyError("the proxy refuses (407 Proxy Authentication Required)"), "HTTPS_PROXY"),
    ],
)
async def test_what_time_does_not_heal(raised: Exception, remedy: str) -> None:
    """A certificate that nobody trusts and a proxy that refuses: one call, and what to set."""
    transport = ScriptedTransport([raised])
    agent = Agent("openai-compatible:m", base_url="https://x/v1", api_key=Secret(KEY))
    async with Runtime(transport=transport) as rt:
        error = await _run(rt, agent)
    assert isinstance(error, ConnectError)
    assert (error.attempts, error.status, error.retryable) == (1, None, False)
    assert (error.provider, error.model) == ("openai-compatible", "m")
    assert remedy in error.message
    tells_no_key(error)


async def test_a_server_that_speaks_something_else() -> None:
    """Mail, for example."""

    async def mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test ESMTP\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mail, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, LeasedTransport() as leased:
        settings = ProviderSettings(base_url=f"http://127.0.0.1:{port}", api_key=Secret(KEY))
        error = await failure(
            provider_for("openai-compatible").factory(settings, leased), stream=False
        )
    assert (type(error), error.retryable) == (ResponseError, False)
    assert "does not speak HTTP/1.1" in error.message
    assert "is base_url right?" in error.message
