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
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec

from understudy.actors.models.assembly import Assembly, RefusedError
from understudy.actors.models.exchange import Exchange, Incoming
from understudy.actors.models.failures import Refusal, classify
from understudy.actors.models.headroom import headroom_of
from understudy.actors.models.payloads import Framing, Payloads
from understudy.actors.models.provider import (
    Piece,
    ProviderSettings,
    TextPiece,
    ThoughtPiece,
    check_base_url,
    check_key,
)
from understudy.actors.models.wire import JsonObject, encode, read_refusal
from understudy.messages.errors import (
    AuthenticationError,
    ConfigError,
    DeadlineExceededError,
    ModelError,
    ResponseError,
    StreamBrokenError,
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
            raise ConfigError(f"{name} needs base_url=, such as 'http://localhost:8000/v1' (vLLM)")
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
        answer = await self._begin(request, timeout, stream=self.streams_anyway(request))
        try:
            while await answer.next() is not None:
                pass
            return answer.completion()
        except (ModelError, DeadlineExceededError) as error:
            raise answer.blamed(error, delivered=False) from error.__cause__
        finally:
            await answer.aclose()

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Ask once; pieces, then the `Completion` (see `Provider.stream`)."""
        answer = await self._begin(request, timeout, stream=True)
        delivered = False
        try:
            while (pieces := await answer.next()) is not None:
                for piece in pieces:
                    delivered = True
                    yield piece
            yield answer.completion()
        except (ModelError, DeadlineExceededError) as error:
            raise answer.blamed(error, delivered=delivered) from error.__cause__
        finally:
            await answer.aclose()

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
        try:
            body = await incoming.read()
            if incoming.status != 200:
                raise self.refused(read_refusal(body), incoming, model, incoming.status)
            return read(body)
        except RefusedError as refused:
            error = self.refused(refused.refusal, incoming, model, None)
            raise self.named(error, incoming, model) from None
        except ModelError as error:
            raise self.named(error, incoming, model) from error.__cause__

    def refused(
        self, refusal: Refusal, incoming: Incoming, model: str, status: int | None
    ) -> ModelError:
        """The error that a refusal is; status None: it was inside an answer."""
        return classify(
            refusal,
            provider=self._name,
            model=model,
            status=status,
            headers=incoming.headers,
            request_id=incoming.headers.get(self.request_id_header),
        )

    def named(self, error: ModelError, incoming: Incoming, model: str) -> ModelError:
        """The same error, knowing whose it is, and without the key that a server may quote."""
        whose = f"{self._name}:{model}: "
        said = self._exchange.scrub(error.message)
        error.args = (said if said.startswith(whose) else whose + said,)
        error.provider, error.model = self._name, model
        error.request_id = error.request_id or incoming.headers.get(self.request_id_header)
        if not isinstance(error, StreamBrokenError):  # its 200 explains nothing
            error.status = error.status or incoming.status
        return error

    async def _begin(self, request: Complete, timeout: float | None, *, stream: bool) -> _Answer:
        incoming = await self._post(
            self.ask(request, stream=stream), model=request.model, timeout=timeout
        )
        framing = self.framing if stream else "whole"
        return _Answer(self, request, incoming, Payloads(incoming, framing, self._max_bytes))

    async def _post(self, ask: Ask, *, model: str, timeout: float | None) -> Incoming:
        return await self._exchange.post(
            ask.path, encode(ask.body), model=model, timeout=timeout, headers=ask.headers
        )


class _Answer:
    """One answer on its way."""

    def __init__(
        self, provider: HttpProvider, request: Complete, incoming: Incoming, payloads: Payloads
    ) -> None:
        self._provider = provider
        self._model = request.model
        self._incoming = incoming
        self._payloads = payloads
        self._assembly = provider.assembly(request)
        self._held: ModelError | None = None

    async def next(self) -> list[TextPiece | ThoughtPiece] | None:
        """The pieces in the next part of the body; None after the last, when nothing is missing."""
        if self._held is not None:
            raise self._held
        if self._incoming.status != 200:
            refusal = read_refusal(await self._incoming.read())
            raise self._provider.refused(
                refusal, self._incoming, self._model, self._incoming.status
            )
        batch = None if self._assembly.ended else await self._payloads.next()
        if batch is None:
            if not self._assembly.finished:
                told = "the stream ended before its end marker"
                raise StreamBrokenError(told, retryable=True)
            return None
        pieces: list[TextPiece | ThoughtPiece] = []
        for payload in batch:
            try:
                pieces += self._take(payload)
            except ModelError as error:
                if not pieces:
                    raise
                self._held = error  # after what came before it
                break
            if self._assembly.ended:
                if self._payloads.framing != "whole":
                    await self._incoming.drain()
                break
        return pieces

    def completion(self) -> Completion:
        headers = self._incoming.headers
        return self._assembly.completion(
            headers.get(self._provider.request_id_header), headroom_of(headers)
        )

    def blamed(
        self, error: ModelError | DeadlineExceededError, *, delivered: bool
    ) -> ModelError | DeadlineExceededError:
        """The error with what is known here: the text that had come, and what it cost."""
        error.partial = self._assembly.text
        if isinstance(error, DeadlineExceededError):
            return error
        error.retryable = error.retryable and not delivered
        if self._assembly.usage is not None or error.partial:
            error.usage = self._assembly.counted()
        return self._provider.named(error, self._incoming, self._model)

    async def aclose(self) -> None:
        await self._incoming.aclose()

    def _take(self, payload: bytes) -> list[TextPiece | ThoughtPiece]:
        whole = self._payloads.framing == "whole"
        try:
            return self._assembly.take(payload, whole=whole)
        except RefusedError as refused:
            error = self._provider.refused(refused.refusal, self._incoming, self._model, None)
            raise error from None
        except ResponseError as error:
            if self._payloads.over and not whole:
                # Half an event is a broken stream, not a bad answer.
                told = "the stream broke off inside an event"
                raise StreamBrokenError(told, retryable=True) from error
            raise
