"""Requests through proxies, over real sockets; and TLS, which tunnels are for."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpcore
import httpx
import pytest

from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.provider import ProviderSettings
from understudy.actors.models.proxies import Proxies
from understudy.actors.models.resolver import Resolver
from understudy.actors.models.transport import LeasedTransport
from understudy.messages.chat import UserMessage
from understudy.messages.errors import ConfigError, ConnectError
from understudy.messages.models import Complete
from understudy.messages.secrets import Secret
from understudy.testing import block_network

pytestmark = pytest.mark.anyio

PEM = Path(__file__).parent / "loopback.pem"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
WHO = b"Basic " + base64.b64encode(b"ann:s3cret pass")

Make = Callable[..., LeasedTransport]


def server_tls() -> ssl.SSLContext:
    """What a server on loopback shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


def client_tls() -> ssl.SSLContext:
    """Trusts it."""
    return ssl.create_default_context(cafile=str(PEM))


class Peer:
    """A server of a test: its port, and the heads of what it was asked."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.port = 0
        self.asked = asyncio.Event()
        self.lost = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    @contextlib.asynccontextmanager
    async def listening(self, *, tls: bool = False) -> AsyncIterator["Peer"]:
        """Serve for the time of the block."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.append(writer)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self.serve(reader, writer)
            self.lost.set()
            with contextlib.suppress(AttributeError):  # 3.11.2, when it has ended already
                writer.transport.abort()

        server = await asyncio.start_server(
            serve, "127.0.0.1", 0, ssl=server_tls() if tls else None
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self.writers:
                writer.transport.abort()
            await server.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer everything with `OK`."""
        while True:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(2)
            writer.write(OK)


class Proxy(Peer):
    """Opens a tunnel to where `CONNECT` says, whatever the name; or says `answer` and no more."""

    def __init__(self, answer: bytes = b"", *, silent: bool = False) -> None:
        super().__init__()
        self._answer = answer
        self._silent = silent

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One tunnel."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        self.asked.set()
        if self._silent:
            await reader.read()
        if self._answer:
            writer.write(self._answer)
            await writer.drain()
            return
        if not head.startswith(b"CONNECT "):  # forwarded
            await reader.readexactly(2)
            writer.write(OK)
            await reader.read()
            return
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        self.writers.append(outer)
        writer.write(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n")
        await asyncio.gather(pump(reader, outer), pump(inner, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes from one to the other, until one ends."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, NotImplementedError):
        writer.close()


async def ask(transport: LeasedTransport, url: str, **timeouts: float) -> bytes:
    """One request and its body."""
    request = httpx.Request("POST", url, content=b"{}", extensions={"timeout": timeouts})
    response = await transport.handle_async_request(request)
    return await response.aread()


async def test_tls(make: Make) -> None:
    """An https URL is spoken to by TLS, with the context that is given, and used again."""
    async with Peer().listening(tls=True) as server, make(ssl_context=client_tls()) as transport:
        for _ in range(3):
            assert await ask(transport, f"https://localhost:{server.port}/v1") == b"ok"
        assert len(server.writers) == 1


async def test_a_certificate_that_nobody_signed(make: Make) -> None:
    """It is a connect error whose cause says so; the server never sees the request."""
    async with Peer().listening(tls=True) as server, make() as transport:
        with pytest.raises(httpx.ConnectError) as caught:
            await ask(transport, f"https://localhost:{server.port}/")
        cause: BaseException | None = caught.value
        while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.__cause__
        assert cause is not None
        assert server.heads == []
        assert (transport.stats.open, transport.stats.lent) == (0, 0)


async def test_a_tunnel(make: Make) -> None:
    """Https goes through `CONNECT`: the proxy learns host and who asks, and nothing else."""
    async with Peer().listening(tls=True) as server, Proxy().listening() as proxy:
        given = f"http://ann:s3cret%20pass@127.0.0.1:{proxy.port}"
        async with make(ssl_context=client_tls(), proxy=given) as transport:
            for _ in range(3):
                assert await ask(transport, f"https://name.test:{server.port}/v1") == b"ok"
    assert len(proxy.heads) == 1
    lines = proxy.heads[0].split(b"\r\n")
    assert lines[0] == b"CONNECT name.test:%d HTTP/1.1" % server.port
    assert b"proxy-authorization: " + WHO in lines
    assert len(server.heads) == 3
    assert b"proxy-authorization" not in server.heads[0]
    assert server.heads[0].startswith(b"POST /v1 HTTP/1.1\r\n")


async def test_a_proxy_that_is_spoken_to_by_tls(make: Make) -> None:
    """TLS inside TLS: one for the proxy, one for the server behind it."""
    async with Peer().listening(tls=True) as server, Proxy().listening(tls=True) as proxy:
        given = f"https://localhost:{proxy.port}"
        async with make(ssl_context=client_tls(), proxy=given) as transport:
            assert await ask(transport, f"https://name.test:{server.port}/") == b"ok"
            assert await ask(transport, f"https://name.test:{server.port}/") == b"ok"
        assert (len(proxy.heads), len(server.heads)) == (1, 2)


async def test_plain_http_is_forwarded(make: Make) -> None:
    """Without TLS the proxy gets the request itself, with the whole address."""
    async with (
        Proxy().listening() as proxy,
        make(proxy=f"http://ann:s3cret%20pass@127.0.0.1:{proxy.port}") as transport,
    ):
        assert await ask(transport, "http://name.test:8080/v1?a=b") == b"ok"
    lines = proxy.heads[0].split(b"\r\n")
    assert lines[0] == b"POST http://name.test:8080/v1?a=b HTTP/1.1"
    assert b"proxy-authorization: " + WHO in lines


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", httpx.ProxyError, "407 Proxy"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", httpx.ProxyError, "refuses name.test:443 (403"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", httpx.ConnectError, "no way to name.test:443 (502"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", httpx.ProxyError, "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n", httpx.ConnectError, "closed the connection"),
    ],
)
async def test_a_proxy_that_refuses(
    make: Make, answer: bytes, kind: type[httpx.TransportError], told: str
) -> None:
    """The error names the proxy and what it said, and never who asked it."""
    async with (
        Proxy(answer).listening() as proxy,
        make(proxy=f"http://ann:s3cret@127.0.0.1:{proxy.port}") as transport,
    ):
        with pytest.raises(httpx.TransportError) as caught:
            await ask(transport, "https://name.test/")
        assert type(caught.value) is kind
        assert told in str(caught.value)
        assert f"http://127.0.0.1:{proxy.port}" in str(caught.value)
        assert not {"ann", "s3cret"} & set(str(caught.value).replace("@", " ").split())
        assert (transport.stats.open, transport.stats.lent) == (0, 0)


async def test_a_forwarding_proxy_that_refuses(make: Make) -> None:
    """A 407 to a forwarded request is the proxy's, not the server's."""
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    async with (
        Proxy(answer).listening() as proxy,
        make(proxy=f"http://127.0.0.1:{proxy.port}") as transport,
    ):
        with pytest.raises(httpx.ProxyError, match="407"):
            await ask(transport, "http://name.test/")
        assert transport.stats.lent == 0


async def test_a_407_of_a_server_is_an_answer(make: Make) -> None:
    """Where no proxy is, the number is just a number."""

    class Odd(Peer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK.replace(b"200 OK", b"407 Odd"))
            await reader.read()

    async with Odd().listening() as server, make() as transport:
        assert await ask(transport, f"http://127.0.0.1:{server.port}/") == b"ok"


async def test_a_proxy_that_is_not_there(make: Make) -> None:
    """The error names both: whom we wanted and the proxy that nobody is."""
    async with Proxy().listening() as proxy:
        pass
    async with make(proxy=f"http://127.0.0.1:{proxy.port}") as transport:
        for scheme in ("http", "https"):
            with pytest.raises(httpx.ConnectError, match=rf"name\.test.*proxy.*{proxy.port}"):
                await ask(transport, f"{scheme}://name.test/")


async def test_a_proxy_that_says_nothing(make: Make) -> None:
    """Its silence is inside the limit of connecting, and a cancel closes its socket."""
    async with (
        Proxy(silent=True).listening() as proxy,
        make(proxy=f"http://127.0.0.1:{proxy.port}") as transport,
    ):
        with pytest.raises(httpx.ConnectTimeout, match=str(proxy.port)):
            await ask(transport, "https://name.test/", connect=0.05)
        await proxy.lost.wait()
        proxy.lost.clear()
        proxy.asked.clear()
        asking = asyncio.create_task(ask(transport, "https://name.test/"))
        await proxy.asked.wait()
        asking.cancel()
        await proxy.lost.wait()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert transport.stats.lent == 0


async def test_a_provider_says_it_in_its_tree(make: Make) -> None:
    """A refusal is a `ConnectError` that no retry mends, with the remedy, without any secret."""
    async with (
        Proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").listening() as proxy,
        make(proxy=f"http://ann:s3cret@127.0.0.1:{proxy.port}") as transport,
    ):
        provider = OpenAIChat(ProviderSettings(api_key=Secret("sk-1")), transport)
        with pytest.raises(ConnectError) as caught:
            await provider.complete(
                Complete(model="m", messages=(UserMessage(content="hi"),)), timeout=10
            )
    error = caught.value
    assert (error.retryable, error.provider, error.model) == (False, "openai", "m")
    assert f"http://127.0.0.1:{proxy.port}" in str(error)
    assert "HTTPS_PROXY" in str(error)
    assert "s3cret" not in str(error)


async def test_the_environment(monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    """Its proxy is used for a name, not for loopback, not for exceptions, not when untrusted."""
    async with Proxy().listening() as proxy:
        for name in ("http_proxy", "no_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "internal.test,other.test:8080")
        nowhere = Resolver(lambda _host, _port: [])
        async with make(trust_env=True, resolver=nowhere) as transport:
            assert await ask(transport, "http://name.test/") == b"ok"
            with pytest.raises(httpx.ConnectError, match="has no address"):
                await ask(transport, "http://a.internal.test/")
            async with Peer().listening() as server:
                await ask(transport, f"http://127.0.0.1:{server.port}/")
                assert len(server.heads) == 1
        async with make(trust_env=False, resolver=nowhere) as transport:
            with pytest.raises(httpx.ConnectError, match="has no address"):
                await ask(transport, "http://name.test/")
        assert len(proxy.heads) == 1


ENVIRON = {
    "http": "http://web:1",
    "https": "https://safe:2",
    "all": "socks5://old:3",
    "no": "internal.test,other.test:8080,10.0.0.1",
}


@pytest.mark.parametrize(
    ("scheme", "host", "port", "shown"),
    [
        ("http", "name.test", 80, "http://web:1"),
        ("https", "name.test", 443, "https://safe:2"),
        ("http", "localhost", 80, None),
        ("http", "a.localhost", 80, None),
        ("http", "127.8.9.1", 80, None),
        ("https", "::1", 443, None),
        ("http", "a.internal.test", 80, None),
        ("http", "other.test", 8080, None),
        ("http", "other.test", 80, "http://web:1"),
        ("http", "10.0.0.1", 80, None),
        ("http", "10.0.0.2", 80, "http://web:1"),
    ],
)
def test_which_proxy(scheme: str, host: str, port: int, shown: str | None) -> None:
    """By scheme, unless the host is this machine or an exception."""
    found = Proxies(environ=ENVIRON).of(scheme, host, port)
    assert (None if found is None else str(found)) == shown
    every = Proxies("http://given:9", environ=ENVIRON).of(scheme, host, port)
    assert str(every) == "http://given:9"
    assert Proxies(trust_env=False, environ=ENVIRON).of(scheme, host, port) is None


def test_everything_is_an_exception() -> None:
    """A star among the exceptions switches the environment's proxies off."""
    assert Proxies(environ={"http": "http://web:1", "no": "*"}).of("http", "a.test", 80) is None


def test_proxies_that_are_none() -> None:
    """SOCKS and nonsense are refused by name, and what may be a password is not shown."""
    with pytest.raises(httpcore.UnsupportedProtocol, match=r"'socks5' is not spoken.*ALL_PROXY"):
        Proxies(environ={"all": "socks5://u:s3cret@old:3"}).of("http", "name.test", 80)
    for given in ("socks5://u:s3cret@old:3", "u:s3cret@old:3", "http://u:s3cret@", "http://x:y:z"):
        with pytest.raises(ConfigError) as caught:
            Proxies(given)
        assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(Proxies("http://u:s3cret@h:1").of("http", "a.test", 80))


async def test_a_blocked_network_blocks_proxies(make: Make) -> None:
    """No way around `block_network` leads through a proxy."""
    with block_network():
        async with make(proxy="http://10.1.2.3:8080") as transport:
            with pytest.raises(Exception, match=r"10\.1\.2\.3"):
                await ask(transport, "https://name.test/")
