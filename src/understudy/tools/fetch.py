"""`fetch_url`: what stands at an address on the web, as text for a model.

    agent = Agent("openai:gpt-5-mini", tools=[fetch_url])

Guarantees
- Nothing of this machine or its network is reached, whatever the address, the name or a redirect
  says: each connection is opened to an address that was checked (see `addresses`), redirects
  included. No proxy of the environment is used, which would connect on its own.
- Time and size are bounded: the whole fetch, redirects included, and the bytes that are read. A
  body is never unpacked; compressed answers are not asked for, and refused.
- No cookies, no credentials, no request but GET.

Pages become text: HTML is given as Markdown. What is no text is refused by its type.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, NamedTuple

from understudy.actors.models.resolver import Lookup, system_lookup
from understudy.messages.errors import ToolError
from understudy.messages.kinds import COUNT, RETRIES, SECONDS
from understudy.runtime.tool import Tool, tool
from understudy.tools.addresses import Addresses, CheckingResolver, RefusedAddressError
from understudy.tools.webpages import text_of_page

if TYPE_CHECKING:
    import ssl

    import httpx

TIMEOUT = 20.0
MAX_BYTES = 512 * 1024
_SAYS = "Fetch a page or file from the web and return its text."
_Url = Annotated[str, "the full address, beginning with https:// or http://"]
_HEADERS = {
    "accept": "text/html, text/*, application/json, application/xml;q=0.9, */*;q=0.1",
    "accept-encoding": "identity",
    "user-agent": "understudy",
}
_TEXTS = ("text/", "application/json", "application/xml", "application/javascript")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GRACE = 5.0


def fetcher(
    *,
    name: str = "fetch_url",
    allow: Iterable[str] = (),
    timeout: float = TIMEOUT,
    max_bytes: int = MAX_BYTES,
    max_redirects: int = 5,
    transport: httpx.AsyncBaseTransport | None = None,
    lookup: Lookup = system_lookup,
) -> Tool:
    """A tool that fetches addresses, with bounds of its own.

    Args:
        name: of the tool.
        allow: networks that may be reached besides the public internet (`"10.1.0.0/16"`).
        timeout: seconds for a whole fetch.
        max_bytes: a longer body is cut, and says so.
        max_redirects: more are an error.
        transport: carries the requests, instead of one that checks each address it connects to;
            only addresses that stand in a URL are checked then.
        lookup: resolves names.

    Raises:
        ConfigError: a bound or a network is wrong.
    """
    SECONDS.check("fetcher", "timeout", timeout)
    COUNT.check("fetcher", "max_bytes", max_bytes)
    RETRIES.check("fetcher", "max_redirects", max_redirects)
    fetch = _Fetch(Addresses(allow), timeout, max_bytes, max_redirects, transport, lookup)

    @tool(name=name, description=_SAYS, effects="none", timeout=timeout + _GRACE)
    async def fetch_it(url: _Url) -> str:
        return await fetch(url)

    return fetch_it


class _Fetch(NamedTuple):
    """The bounds of one tool; calling it fetches."""

    addresses: Addresses
    timeout: float = TIMEOUT
    max_bytes: int = MAX_BYTES
    max_redirects: int = 5
    transport: httpx.AsyncBaseTransport | None = None
    lookup: Lookup = system_lookup

    async def __call__(self, url: str) -> str:
        """Fetch within the time there is."""
        try:
            async with asyncio.timeout(self.timeout), self._carrier() as by:
                return await _fetch(
                    url, by, self.addresses.check, self.max_bytes, self.max_redirects
                )
        except TimeoutError:
            told = f"{_shown(url)} did not answer in full within {self.timeout:g} s."
            raise ToolError(told, retryable=True) from None

    @asynccontextmanager
    async def _carrier(self) -> AsyncIterator[httpx.AsyncBaseTransport]:
        """For one fetch, so that the tool belongs to no loop."""
        if self.transport is not None:
            yield self.transport
            return
        from understudy.actors.models.transport import LeasedTransport

        resolver = CheckingResolver(self.addresses, self.lookup)
        async with LeasedTransport(resolver=resolver, ssl_context=_ssl_context()) as own:
            yield own


async def _fetch(
    url: str,
    transport: httpx.AsyncBaseTransport,
    check: Callable[[str], None],
    max_bytes: int,
    max_redirects: int,
) -> str:
    import httpx

    try:
        target = httpx.URL(url.strip())
        for _ in range(max_redirects + 1):
            if target.scheme not in ("http", "https") or not target.host:
                raise ToolError(
                    f"{_shown(str(target))} cannot be fetched; give a full address that begins "
                    "with https:// or http://"
                )
            check(target.host)
            request = httpx.Request(
                "GET", target.copy_with(userinfo=b"", fragment=None), headers=_HEADERS
            )
            response = await transport.handle_async_request(request)
            try:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or location is None:
                    return await _text_of(response, str(target), max_bytes)
                target = target.join(location)
            finally:
                await response.aclose()
    except RefusedAddressError as error:
        raise ToolError(f"{_shown(url)} must not be fetched: {error}.") from error
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise ToolError(f"{url[:200]!r} is no address: {error}.") from error
    except httpx.TransportError as error:
        if (refused := _refusal(error)) is not None:
            raise ToolError(f"{_shown(url)} must not be fetched: {refused}.") from error
        raise ToolError(f"{_shown(url)} cannot be fetched: {error}.", retryable=True) from error
    raise ToolError(f"{_shown(url)} redirects more than {max_redirects} times.")


async def _text_of(response: httpx.Response, url: str, max_bytes: int) -> str:
    status = response.status_code
    if not 200 <= status < 300:
        retryable = status >= 500 or status == 429
        raise ToolError(f"{_shown(url)} answered {status}.", retryable=retryable, status=status)
    packed = response.headers.get("content-encoding", "identity").lower()
    if packed != "identity":
        raise ToolError(f"{_shown(url)} answered in {packed!r}, although it was asked not to.")
    kind, _, rest = response.headers.get("content-type", "text/plain").lower().partition(";")
    kind = kind.strip()
    if not kind.startswith(_TEXTS) and not kind.endswith(("+json", "+xml")):
        raise ToolError(f"{_shown(url)} is {kind}, not text.")
    body, is_cut = bytearray(), False
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > max_bytes:
            del body[max_bytes:]
            is_cut = True
            break
    text = bytes(body).decode(_charset(rest), "replace")
    if kind in ("text/html", "application/xhtml+xml"):
        text = text_of_page(text)
    return f"{text}\n[cut: only the first {max_bytes} bytes were read]" if is_cut else text


def _charset(parameters: str) -> str:
    _, _, rest = parameters.partition("charset=")
    name = rest.partition(";")[0].strip().strip("\"'") or "utf-8"
    try:
        # Codecs such as `hex` or `zip` are none of text.
        return name if codecs.lookup(name)._is_text_encoding else "utf-8"  # noqa: SLF001
    except (LookupError, ValueError):
        return "utf-8"


def _refusal(error: BaseException | None) -> RefusedAddressError | None:
    while error is not None:
        if isinstance(error, RefusedAddressError):
            return error
        error = error.__cause__
    return None


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    bare = url.partition("?")[0].partition("#")[0]
    scheme, slashes, rest = bare.partition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"[:200]


@cache
def _ssl_context() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


_public = _Fetch(Addresses())


@tool(description=_SAYS, effects="none", timeout=TIMEOUT + _GRACE)
async def fetch_url(url: _Url) -> str:
    """Fetch an address on the public internet, as a tool; `fetcher` makes others."""
    return await _public(url)
