"""What every provider over HTTP does, whatever its wire format.

A format says four things: what a request looks like (`ask`), how one answer is put together
(`assembly`), how its stream is framed, and where it keeps the id of a call. Everything else is here
once: sending, limits in time and size, refusals, streams and their ends, errors that know whose
they are.

Guarantees: one request a call, no retries. A stream that ends before its end marker is a
`StreamBrokenError` with what came as `partial`, never a short answer. What came before an error is
delivered before it is raised. After the end marker the body is read to its end, so the connection
is used again; leaving a stream early closes the socket. No error contains the key.

A base class and not a strategy object: a third party writes one class with two methods (see
docs/how-to-providers.md), and inherits the rest with its types.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec

from understudy.actors.kernel.sinks import Sink
from understudy.actors.models.answering import Answering, Blame
from understudy.actors.models.assembly import Assembly, RefusedError
from understudy.actors.models.exchange import Exchange
from understudy.actors.models.incoming import Incoming
from understudy.actors.models.payloads import Framing, Payloads
from understudy.actors.models.provider import (
    Piece,
    ProviderSettings,
    check_base_url,
    check_key,
)
from understudy.actors.models.wire import JsonObject, encode, read_refusal
from understudy.messages.errors import (
    AuthenticationError,
    ConfigError,
    DeadlineExceededError,
    ModelError,
)
from understudy.messages.models import Complete, Completion

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request in a provider's format.

    Attributes:
        path: what follows the base URL, with its query.
        headers: those that only this request has.
    """

    path: str
    body: JsonObject
    headers: dict[str, str] = {}


class HttpProvider(ABC):
    """A provider (see `Provider`) over HTTP and JSON.

    Args:
        settings: address, key and limits.
        transport: the HTTP seam; its owner closes it.
        name: the provider's name.
        base_url: where it is, unless the settings say otherwise.
        key_header: the header that carries the key; for `authorization` it is a bearer token.
        key_variable: the environment variable that usually holds its key; None: it needs none.
        headers: sent with every request.

    Raises:
        ConfigError: the address or the key cannot work.
        AuthenticationError: it needs a key and there is none.
    """

    framing: Framing = "events"
    """How a streamed answer is framed, where its `content-type` does not tell."""
    request_id_header = "x-request-id"

    def __init__(
        self,
        settings: ProviderSettings,
        transport: httpx.AsyncBaseTransport,
        *,
        name: str,
        base_url: str | None,
        key_header: str = "authorization",
        key_variable: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._name = name
        address = settings.base_url or base_url
        if address is None:
            raise ConfigError(f"{name} needs base_url=, such as 'https://models.example.com/v1'")
        sent = dict(headers or {})
        if settings.api_key is not None:
            key = check_key(settings.api_key, provider=name)
            sent[key_header] = f"Bearer {key}" if key_header == "authorization" else key
        elif key_variable is not None:
            raise AuthenticationError(
                f"no API key for {name}: set {key_variable}, pass api_key='env:NAME', or put "
                "api_key under [llm]",
                provider=name,
            )
        self.base_url = check_base_url(address)
        self._exchange = Exchange(
            transport, provider=name, base_url=self.base_url, headers=sent, settings=settings
        )
        self._max_bytes = settings.max_response_bytes

    @abstractmethod
    def ask(self, request: Complete, *, stream: bool) -> Ask:
        """The request in this format. Unset options are absent; `0` and `0.0` are sent.

        Raises:
            ConfigError: it asks for what this format cannot say.
        """

    @abstractmethod
    def assembly(self, request: Complete) -> Assembly:
        """What puts one answer together."""

    def streams_anyway(self, request: Complete) -> bool:  # noqa: ARG002 - for who overrides it
        """Whether an answer that nobody wants streamed is better asked for as a stream."""
        return False

    @property
    def name(self) -> str:
        """The name before the colon of `provider:model`."""
        return self._name

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """Ask once, without streaming (see `Provider.complete`)."""
        stream = self.streams_anyway(request)
        incoming = await self._asked(request, timeout, stream=stream)
        answer = None
        try:
            answer = self._answering(request, incoming, stream=stream)
            while await answer.next() is not None:
                pass
            return answer.completion()
        except (ModelError, DeadlineExceededError) as error:
            raise _blamed(error, answer) from error.__cause__
        finally:
            await incoming.aclose()

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Ask once; pieces, then the `Completion` (see `Provider.stream`)."""
        incoming = await self._asked(request, timeout, stream=True)
        answer = None
        try:
            answer = self._answering(request, incoming, stream=True)
            while (pieces := await answer.next()) is not None:
                for piece in pieces:
                    answer.delivered = True
                    yield piece
            yield answer.completion()
        except (ModelError, DeadlineExceededError) as error:
            raise _blamed(error, answer) from error.__cause__
        finally:
            await incoming.aclose()

    async def push(
        self, request: Complete, sink: Sink, *, timeout: float | None = None
    ) -> Completion:
        """As `stream`, into a sink (see `streaming.Pusher`), without a generator in between."""
        incoming = await self._asked(request, timeout, stream=True)
        answer = None
        try:
            answer = self._answering(request, incoming, stream=True, retain=sink.retain)
            await answer.pour(sink)
            return answer.completion()
        except (ModelError, DeadlineExceededError) as error:
            raise _blamed(error, answer) from error.__cause__
        finally:
            await incoming.aclose()

    async def aclose(self) -> None:  # noqa: B027 - what a Provider promises; there is nothing
        """Nothing to let go of: connections are the transport's."""

    async def fetch(
        self, ask: Ask, read: Callable[[bytes], T], *, model: str, timeout: float | None
    ) -> T:
        """Ask once for something that is no completion; gives what `read` makes of a 200.

        Raises:
            ModelError: the leaf that says what went wrong.
            DeadlineExceededError: `timeout` seconds have passed.
        """
        incoming = await self._post(ask, model=model, timeout=timeout)
        blame = self._blame(incoming, model)
        try:
            body = await incoming.read()
            if incoming.status != 200:
                raise blame.refused(read_refusal(body), incoming.status)
            return read(body)
        except RefusedError as refused:
            raise blame.named(blame.refused(refused.refusal, None)) from None
        except ModelError as error:
            raise blame.named(error) from error.__cause__

    def _asked(
        self, request: Complete, timeout: float | None, *, stream: bool
    ) -> Awaitable[Incoming]:
        ask = self.ask(request, stream=stream)
        return self._post(ask, model=request.model, timeout=timeout)

    def _post(self, ask: Ask, *, model: str, timeout: float | None) -> Awaitable[Incoming]:
        """Plain, as `_asked`: each coroutine between is kept for as long as a model thinks."""
        return self._exchange.post(
            ask.path, encode(ask.body), model=model, timeout=timeout, headers=ask.headers
        )

    def _answering(
        self, request: Complete, incoming: Incoming, *, stream: bool, retain: str = "full"
    ) -> Answering:
        kind = incoming.headers.get("content-type", "")
        payloads = Payloads(kind, self.framing if stream else "whole", self._max_bytes)
        assembly = self.assembly(request)
        assembly.keep(retain)
        return Answering(incoming, payloads, assembly, self._blame(incoming, request.model))

    def _blame(self, incoming: Incoming, model: str) -> Blame:
        exchange = self._exchange
        return Blame(self._name, model, incoming, self.request_id_header, exchange.scrub)


def _blamed(
    error: ModelError | DeadlineExceededError, answer: Answering | None
) -> ModelError | DeadlineExceededError:
    """The error, with what is known where an answer has begun."""
    return error if answer is None else answer.blamed(error)
