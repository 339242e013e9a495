"""One request to a provider over the HTTP seam, with its limits and its failures named.

Purpose: what every HTTP provider needs between its wire format and the transport: send JSON, read
the answer whole or in chunks, bounded in time and size, and turn whatever breaks into the error
tree.

Guarantees: limits in time, by a timer on the running loop. Connecting takes at most
`connect_timeout`; a server that takes nothing of the request for `write_timeout` is given up; the
head of the answer and the first bytes behind it come within `first_byte_timeout` (some servers send
a head at once, and then think), each further chunk within `idle_timeout`, everything within the
caller's deadline. Only the last raises `DeadlineExceededError`. An answer is refused as soon as it
exceeds `max_response_bytes`. An error text never contains the key, also where the server quotes it.
Closing early closes the socket; `drain` reads a finished answer to its end so that its connection
is used again.

Why timers here and not the transport's read timeout: every transport behind the seam then behaves
the same, and no transport knows the deadline.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import lru_cache

import httpx

from understudy.actors.models.incoming import Incoming, too_late
from understudy.actors.models.patience import Patience, Watch
from understudy.actors.models.provider import ProviderSettings
from understudy.actors.models.seam import HttpxWire, Outgoing, Target, Wire, target_of
from understudy.actors.models.transport import LeasedTransport
from understudy.messages.errors import (
    BadRequestError,
    ConnectError,
    ModelError,
    ResponseError,
    ServerError,
    UnderstudyError,
)

_HIDDEN = "***"


class Exchange:
    """Sends requests to one provider; keeps nothing of them."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        settings: ProviderSettings,
    ) -> None:
        self._wire = _wire_of(transport)
        self._provider = provider
        self._base_url = base_url
        self._headers = [
            (b"host", _target(base_url).url.netloc),
            (b"content-type", b"application/json"),
            *_encoded(headers),
        ]
        self._settings = settings
        self._timeouts = {
            "connect": settings.connect_timeout,
            "write": settings.write_timeout,
            "pool": None,
            "read": None,
        }
        self._watch: Watch | None = None
        self._secret = settings.api_key.reveal() if settings.api_key else ""

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        model: str,
        timeout: float | None,
        headers: Mapping[str, str] | None = None,
    ) -> Incoming:
        """Send a request; gives the answer once its head has come, whatever its status.

        Args:
            path: what follows the base URL, with its query.
            body: JSON.
            model: whom it is for, in errors.
            timeout: what is left of the caller's deadline.
            headers: those of this request alone.

        Raises:
            ConnectError: no connection, or it broke before an answer came.
            ServerError: silence for `first_byte_timeout` seconds.
            ResponseError: what answers does not speak HTTP.
            BadRequestError: the request cannot be put into HTTP.
            DeadlineExceededError: `timeout` seconds have passed.
        """
        watch = self._watching()
        started = watch.loop.time()
        end = None if timeout is None else started + timeout
        limit = started + self._settings.connect_timeout + self._settings.first_byte_timeout
        where = f"{self._provider}:{model}"
        outgoing = self._outgoing(path, body, headers)
        patience = Patience(watch)
        patience.limit = limit if end is None else min(limit, end)
        try:
            with patience:
                answer = await self._wire.send(outgoing, self._timeouts)
        except BaseException as error:
            patience.close()
            # Which of the two it was, not what the clock says: uvloop's timers come early.
            is_late = end is not None and end <= limit
            known = self._before_answer(error, where, outgoing.target, is_late=is_late)
            if known is None:
                raise
            raise self._named(known, model) from error
        incoming = Incoming(
            answer,
            self._settings,
            patience,
            watch.loop,
            where=where,
            first=limit,
            end=end,
            scrub=self.scrub,
        )
        encoding = incoming.headers.get("content-encoding", "identity")
        if encoding != "identity":
            await incoming.aclose()
            told = f"{where}: the answer is encoded as {encoding!r}, which nobody asked for"
            raise self._named(ResponseError(told), model)
        return incoming

    def scrub(self, text: str) -> str:
        """The text without the key, which some servers quote."""
        return text.replace(self._secret, _HIDDEN) if self._secret else text

    def _watching(self) -> Watch:
        """That of the running loop; a provider may outlive one, with some transports."""
        loop = asyncio.get_running_loop()
        if self._watch is None or self._watch.loop is not loop:
            self._watch = Watch(loop)
        return self._watch

    def _outgoing(self, path: str, body: bytes, headers: Mapping[str, str] | None) -> Outgoing:
        """The request, with a head that is complete."""
        own = _encoded(headers) if headers else ()
        length = (b"content-length", b"%d" % len(body))
        return Outgoing(_target(self._base_url + path), (*self._headers, *own, length), body)

    def _named(self, error: UnderstudyError, model: str) -> UnderstudyError:
        if isinstance(error, ModelError):
            error.provider, error.model = self._provider, model
        return error

    def _before_answer(
        self, error: BaseException, where: str, target: Target, *, is_late: bool
    ) -> UnderstudyError | None:
        """What has kept the head of an answer from coming; None: nothing of the network's."""
        if isinstance(error, TimeoutError):
            told = f"{where}: no answer within {self._settings.first_byte_timeout:g} s"
            return too_late(where) if is_late else ServerError(told, retryable=True)
        if not isinstance(error, httpx.HTTPError):
            return None
        said = self.scrub(str(error)) or type(error).__name__
        host = f"{target.url.host}:{target.url.port or target.url.scheme}"
        match error:
            case httpx.LocalProtocolError():
                # The library's text quotes the header that it dislikes.
                return BadRequestError(f"{where}: the request cannot be written as HTTP")
            case httpx.ProxyError():
                told = f"{where}: {said}; check HTTP_PROXY, HTTPS_PROXY and NO_PROXY, or proxy="
                return ConnectError(told)
            case httpx.RemoteProtocolError() if "without sending" not in said:
                return ResponseError(
                    f"{where}: {host} does not speak HTTP/1.1 ({said}); is base_url right?"
                )
            case httpx.ReadError() | httpx.WriteError() | httpx.RemoteProtocolError():
                told = f"{where}: the connection to {host} broke before an answer came ({said})"
                return ConnectError(told, retryable=True)
            case httpx.ReadTimeout() | httpx.WriteTimeout():
                return ServerError(f"{where}: {said}", retryable=True)
            case _ if _is_certificate(error):
                told = f"{where}: {said}; install the authority, or set SSL_CERT_FILE to it"
                return ConnectError(told)
            case _:
                told = f"{where}: {said}; is the server running, and is base_url right?"
                return ConnectError(told, retryable=True)


def _wire_of(transport: httpx.AsyncBaseTransport) -> Wire:
    """The short way where there is one, and nobody has put something of his own in between."""
    if isinstance(transport, LeasedTransport):
        kind = type(transport)
        if kind.handle_async_request is LeasedTransport.handle_async_request:
            return transport
    return HttpxWire(transport)


@lru_cache(maxsize=256)
def _target(text: str) -> Target:
    """Parsing an address costs as much as the rest of a request."""
    return target_of(httpx.URL(text))


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]


def _is_certificate(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__
    return False
