import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import httpx
import pytest

from understudy import ConfigError, Runtime, ToolCall, ToolError, arun_tools
from understudy.messages.codec import encode
from understudy.messages.tools import ToolResult
from understudy.testing import ScriptedTransport
from understudy.tools import fetch_url, fetcher
from understudy.tools.addresses import Addresses, CheckingResolver, RefusedAddressError

pytestmark = pytest.mark.anyio

Handler = Callable[[str], bytes]
PAGE = b"<html><title>Ulm</title><body><p>A city.</p><script>x</script></body></html>"


class Site:
    """A server on loopback that answers by path and counts who connects."""

    def __init__(self, answer: Handler) -> None:
        self._answer = answer
        self.paths: list[str] = []
        self.heads: list[str] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head.lower())
        self.paths.append(head.split()[1])
        writer.write(self._answer(self.paths[-1]))
        await writer.drain()
        writer.close()


def response(body: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    """An answer as bytes."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def found(*addresses: str) -> Callable[[str, int], list[str]]:
    """Resolves every name, to one address after the other."""
    left = list(addresses)
    return lambda _, __: [left.pop(0) if len(left) > 1 else left[0]]


async def fetch(tool: Any, url: str) -> str:
    """Call the tool's function itself."""
    text: str = await tool(url)
    return text


async def test_pages_are_fetched_as_text() -> None:
    """Over real sockets: HTML as Markdown, no credentials, nothing compressed asked for."""
    site = Site(lambda _: response(PAGE, content_type="text/html; charset=utf-8"))
    async with site:
        tool = fetcher(allow=["127.0.0.0/8"])
        text = await fetch(tool, f"http://user:secret@127.0.0.1:{site.port}/ulm#part")
    assert text == "# Ulm\n\nA city."
    assert site.paths == ["/ulm"]
    assert "accept-encoding: identity" in site.heads[0]
    assert "secret" not in site.heads[0]
    assert "authorization" not in site.heads[0]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "localhost", "2130706433"]
)
async def test_this_machine_is_not_reached(host: str) -> None:
    """By no way of writing it, and before a socket is opened."""
    site = Site(lambda _: response(b"secret"))
    async with site:
        with pytest.raises(ToolError, match=r"must not be fetched: .* must not reach"):
            await fetch(fetch_url, f"http://{host}:{site.port}/")
    assert site.paths == []


async def test_a_name_that_leads_here_is_not_followed() -> None:
    """What counts is the address that the name has when the connection is opened."""
    site = Site(lambda _: response(b"secret"))
    async with site:
        tool = fetcher(lookup=found("127.0.0.1"))
        with pytest.raises(ToolError, match=r"127.0.0.1 is a loopback address"):
            await fetch(tool, f"http://public.example:{site.port}/")
        assert site.paths == []
        changing = found("10.0.0.1", "127.0.0.1")
        tool = fetcher(lookup=changing, allow=["127.0.0.1"])
        with pytest.raises(ToolError, match=r"10.0.0.1 is a private address"):
            await fetch(tool, f"http://public.example:{site.port}/")
        assert await fetch(tool, f"http://public.example:{site.port}/") == "secret"


async def test_a_redirect_is_checked_too() -> None:
    """A page that is allowed cannot send the tool to one that is not."""
    site = Site(lambda path: response(b"", status="302 Found", location=where[path]))
    where = {"/literal": "http://169.254.169.254/latest/", "/name": "http://inside.example/"}
    async with site:
        tool = fetcher(allow=["127.0.0.1"], lookup=found("127.0.0.1", "127.0.0.1", "10.0.0.1"))
        with pytest.raises(ToolError, match=r"169.254.169.254 is a link-local address"):
            await fetch(tool, f"http://public.example:{site.port}/literal")
        with pytest.raises(ToolError, match=r"10.0.0.1 is a private address"):
            await fetch(tool, f"http://public.example:{site.port}/name")


async def test_redirects_are_followed_so_far() -> None:
    """Relative ones too; more than the bound are an error, and so are other schemes."""

    def answer(path: str) -> bytes:
        if path == "/file":
            return response(b"", status="301 Moved", location="file:///etc/passwd")
        left = int(path[1:])
        if left:
            return response(b"", status="307 Temporary", location=f"/{left - 1}")
        return response(b"there", content_type="text/plain")

    site = Site(answer)
    async with site:
        tool = fetcher(allow=["127.0.0.1"], max_redirects=2)
        base = f"http://127.0.0.1:{site.port}"
        assert await fetch(tool, f"{base}/2") == "there"
        with pytest.raises(ToolError, match="redirects more than 2 times"):
            await fetch(tool, f"{base}/3")
        with pytest.raises(ToolError, match="file:/etc/passwd cannot be fetched"):
            await fetch(tool, f"{base}/file")


async def test_size_is_bounded() -> None:
    """A body without an end is read so far and says so."""
    read = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 1
                yield b"x" * 1000

    transport = ScriptedTransport([httpx.Response(200, stream=Endless())])
    tool = fetcher(transport=transport, max_bytes=2500)
    text = await fetch(tool, "https://public.example/")
    assert text == "x" * 2500 + "\n[cut: only the first 2500 bytes were read]"
    assert read == 3


async def test_time_is_bounded() -> None:
    """A server that says nothing is given up, and the model is told."""

    async def silent(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    tool = fetcher(transport=ScriptedTransport(silent), timeout=0.01)
    with pytest.raises(ToolError, match=r"did not answer in full within 0.01 s") as caught:
        await fetch(tool, "https://public.example/x?key=secret")
    assert "secret" not in caught.value.message
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("answer", "why", "retryable"),
    [
        ({"status": 404}, r"https://e.example/a answered 404", False),
        ({"status": 503}, "answered 503", True),
        ({"status": 429}, "answered 429", True),
        ({"status": 302}, "answered 302", False),
        ({"headers": {"content-type": "image/png"}}, "is image/png, not text", False),
        ({"headers": {"content-encoding": "gzip"}, "content": None}, "in 'gzip'", False),
        (httpx.ConnectError("refused"), "cannot be fetched: refused", True),
        (httpx.ConnectError(""), "cannot be fetched", True),
    ],
)
async def test_answers_that_are_no_text(answer: Any, why: str, retryable: bool) -> None:
    """The model is told which address and why, without what may be secret."""
    tool = fetcher(transport=ScriptedTransport([answer]))
    with pytest.raises(ToolError, match=why) as caught:
        await fetch(tool, "https://me:pw@e.example/a?token=x")
    assert caught.value.retryable is retryable
    assert "token" not in caught.value.message
    assert "pw" not in caught.value.message


@pytest.mark.parametrize("url", ["http://10.0.0.1/x", "//127.0.0.1/", "http://[::ffff:a00:1]/"])
async def test_addresses_in_a_url_are_checked_whoever_carries_it(url: str) -> None:
    """A transport of one's own answers for names, not for what stands in the address."""
    transport = ScriptedTransport([{"status": 302, "headers": {"location": url}}])
    with pytest.raises(ToolError, match="must not be fetched"):
        await fetch(fetcher(transport=transport), "https://me:pw@e.example/a#part")
    (request,) = transport.requests
    assert str(request.url) == "https://e.example/a"


@pytest.mark.parametrize(
    "url", ["", "ulm", "ftp://e.example", "http://", "http://e.example:x/", "a" * 9999]
)
async def test_what_is_no_address(url: str) -> None:
    """Nothing is asked of anybody."""
    transport = ScriptedTransport([])
    with pytest.raises(ToolError):
        await fetch(fetcher(transport=transport), url)
    assert transport.requests == []


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain; charset=latin-1", "für".encode("latin-1"), "für"),
        ("text/plain; charset=zip", b"f\xc3\xbcr", "für"),
        ("text/plain; charset=nonsense", b"f\xff", "f\ufffd"),
        ("application/vnd.x+json", b"{}", "{}"),
    ],
)
async def test_texts_are_decoded(kind: str, body: bytes, text: str) -> None:
    """By the charset that is said, if it is one of text."""
    answer = {"headers": {"content-type": kind}, "content": body}
    tool = fetcher(transport=ScriptedTransport([answer]))
    assert await fetch(tool, "https://e.example/") == text


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    """Loopback, private, link-local, shared, reserved, and IPv6 that carries one of them."""
    with pytest.raises(RefusedAddressError):
        Addresses().check(address)


def test_why_an_address_is_refused() -> None:
    """By what it is, also where it is written as another."""
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
        with pytest.raises(RefusedAddressError, match=f"{address} is a loopback address"):
            Addresses().check(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8", "name.example"],
)
def test_addresses_that_are_public(address: str) -> None:
    """And names, which are judged when they are resolved."""
    Addresses().check(address)


async def test_only_what_is_permitted_of_a_name_is_given() -> None:
    """A name with a public and a private address has one that may be connected to."""
    resolver = CheckingResolver(Addresses(), lambda _, __: ["10.0.0.1", "8.8.8.8"])
    assert await resolver.resolve("mixed.example", 80) == ["8.8.8.8"]


def test_wrong_bounds_are_refused() -> None:
    """When the tool is made."""
    with pytest.raises(ConfigError, match="allow='intranet'"):
        fetcher(allow=["intranet"])
    with pytest.raises(ConfigError, match=r"10.0.0.1/8 has host bits set"):
        fetcher(allow="10.0.0.1/8")
    wrong: list[dict[str, Any]] = [
        {"timeout": 0},
        {"timeout": "5s"},
        {"max_bytes": 0},
        {"max_redirects": -1},
    ]
    for options in wrong:
        with pytest.raises(ConfigError, match=rf"fetcher\({next(iter(options))}="):
            fetcher(**options)


async def test_it_is_a_tool() -> None:
    """Described for models, called by the directory, and encoded with an agent."""
    assert fetch_url.parameters["properties"]["url"]["description"].startswith("the full address")
    assert encode(fetch_url)
    async with Runtime() as rt:
        call = ToolCall(id="1", name="fetch_url", arguments={"url": "http://127.0.0.1/"})
        (result,) = await arun_tools([call], [fetch_url], runtime=rt)
        assert isinstance(result, ToolResult)
        assert "127.0.0.1 is a loopback address" in str(result.error)
