"""OpenAI's chat completions, and every server that speaks them.

`OpenAIChat` serves `openai:…` and `openai-compatible:…` (Ollama, vLLM, llama.cpp, OpenRouter and
others); what differs between them is in a `Dialect`. The wire format is in `openai_wire`, limits
and failures of the connection in `exchange`; here they meet.

Guarantees: one request a call, no retries. A stream that ends before its finish reason or `[DONE]`
is a `StreamBrokenError` with what came as `partial`, never a short answer. After `[DONE]` the body
is read to its end, so the connection is used again; leaving a stream early closes the socket.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from understudy.actors.models.exchange import Exchange, Incoming
from understudy.actors.models.failures import Refusal, classify
from understudy.actors.models.openai_assembly import Assembly
from understudy.actors.models.openai_wire import (
    DONE,
    OPENAI,
    Answer,
    Dialect,
    read_answer,
    read_refusal,
    refusal_of,
    request_body,
)
from understudy.actors.models.provider import (
    Piece,
    ProviderSettings,
    TextPiece,
    ThoughtPiece,
    check_base_url,
    check_key,
)
from understudy.actors.models.sse import EventTooLargeError, SseEvent, SseParser
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


class OpenAIChat:
    """A provider (see `Provider`) over `POST {base_url}/chat/completions`.

    Args:
        settings: address, key and limits.
        transport: the HTTP seam; its owner closes it.
        dialect: OpenAI's own, or that of compatible servers.

    Raises:
        ConfigError: the address or the key cannot work.
        AuthenticationError: OpenAI needs a key and there is none.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        transport: httpx.AsyncBaseTransport,
        *,
        dialect: Dialect = OPENAI,
    ) -> None:
        self._dialect = dialect
        base_url = settings.base_url or dialect.base_url
        if base_url is None:
            raise ConfigError(
                f"{dialect.provider} needs base_url=, such as 'http://localhost:11434/v1' (Ollama)"
            )
        headers: dict[str, str] = {}
        if settings.api_key is not None:
            key = check_key(settings.api_key, provider=dialect.provider)
            headers["authorization"] = f"Bearer {key}"
        elif dialect.needs_key:
            raise AuthenticationError(
                "no API key for openai: set OPENAI_API_KEY, pass api_key='env:NAME', or put "
                "api_key under [llm]",
                provider=dialect.provider,
            )
        self._exchange = Exchange(
            transport,
            provider=dialect.provider,
            url=f"{check_base_url(base_url)}/chat/completions",
            headers=headers,
            settings=settings,
        )
        self._max_event_bytes = settings.max_response_bytes

    @property
    def name(self) -> str:
        """`openai` or `openai-compatible`."""
        return self._dialect.provider

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """Ask once, without streaming (see `Provider.complete`)."""
        body = request_body(request, self._dialect, stream=False)
        incoming = await self._exchange.post(body, model=request.model, timeout=timeout)
        assembly = Assembly(request, self.name)
        try:
            await self._refuse_failure(incoming, request)
            answer = read_answer(await incoming.read())
            self._refuse_error(answer, incoming, request)
            if not answer.choices:
                raise ResponseError("the answer has no choices")
            assembly.take(answer)
            return assembly.completion(incoming.headers.get("x-request-id"))
        except ModelError as error:
            raise self._named(error, request, incoming) from error.__cause__

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Ask once; pieces, then the `Completion` (see `Provider.stream`)."""
        body = request_body(request, self._dialect, stream=True)
        incoming = await self._exchange.post(body, model=request.model, timeout=timeout)
        assembly = Assembly(request, self.name)
        yielded = False
        try:
            await self._refuse_failure(incoming, request)
            answers = _Answers(incoming, self._max_event_bytes)
            while (batch := await answers.next()) is not None:
                for answer in batch:
                    self._refuse_error(answer, incoming, request)
                    text, thought = assembly.take(answer)
                    if thought:
                        yielded = True
                        yield ThoughtPiece(text=thought)
                    if text:
                        yielded = True
                        yield TextPiece(text=text)
            if not (answers.ended or assembly.finished):
                raise StreamBrokenError("the stream ended before its end marker", retryable=True)
            yield assembly.completion(incoming.headers.get("x-request-id"))
        except DeadlineExceededError as error:
            error.partial = assembly.text
            raise
        except ModelError as error:
            error.partial = assembly.text
            error.retryable = error.retryable and not yielded
            raise self._named(error, request, incoming) from error.__cause__
        finally:
            await incoming.aclose()

    async def aclose(self) -> None:
        """Nothing to let go of: connections are the transport's."""

    async def _refuse_failure(self, incoming: Incoming, request: Complete) -> None:
        """Raise what a status other than 200 means."""
        if incoming.status == 200:
            return
        body = await incoming.read()
        raise self._error(read_refusal(body), incoming.status, incoming, request)

    def _refuse_error(self, answer: Answer, incoming: Incoming, request: Complete) -> None:
        """Raise the error that a status 200 was followed by."""
        if answer.error is not None:
            raise self._error(refusal_of(answer.error), None, incoming, request)

    def _error(
        self, refusal: Refusal, status: int | None, incoming: Incoming, request: Complete
    ) -> ModelError:
        return classify(
            refusal,
            provider=self.name,
            model=request.model,
            status=status,
            headers=incoming.headers,
            request_id=incoming.headers.get("x-request-id"),
        )

    def _named(self, error: ModelError, request: Complete, incoming: Incoming) -> ModelError:
        """The same error, knowing whose it is, and without the key that a server may quote."""
        whose = f"{self.name}:{request.model}: "
        said = self._exchange.scrub(error.message)
        error.args = (said if said.startswith(whose) else whose + said,)
        error.provider, error.model = self.name, request.model
        error.request_id = error.request_id or incoming.headers.get("x-request-id")
        error.status = error.status or incoming.status
        return error


class _Answers:
    """The chunks of a streamed answer, a batch for each piece of the body.

    No generator, for the reason given in `transport`: one left half-way ends in the garbage
    collector.
    """

    def __init__(self, incoming: Incoming, max_event_bytes: int) -> None:
        self._incoming = incoming
        self._parser = SseParser(max_event_bytes)
        self._is_stream = not incoming.headers.get("content-type", "").startswith(
            ("application/json", "text/html")
        )
        self._over = False
        self.ended = False
        """The end marker has come."""

    async def next(self) -> list[Answer] | None:
        """The answers in the next piece of the body, None after the last."""
        if self._over:
            return None
        if not self._is_stream:
            # A server that does not stream after all: one whole answer, or an error page.
            self._over = self.ended = True
            return [read_answer(await self._incoming.read())]
        part = await self._incoming.next()
        if part is None:
            self._over = True
            return self._last()
        try:
            return await self._decode(self._parser.feed(part))
        except EventTooLargeError as error:
            raise ResponseError(f"{error} in the stream") from error

    async def _decode(self, events: list[SseEvent]) -> list[Answer]:
        answers: list[Answer] = []
        for event in events:
            if event.data == DONE:
                self._over = self.ended = True
                await self._incoming.drain()
                break
            answers.append(read_answer(event.data))
        return answers

    def _last(self) -> list[Answer]:
        """What came without its blank line; half an event is a broken stream, not a bad answer."""
        answers: list[Answer] = []
        for event in self._parser.close():
            if event.data == DONE:
                self.ended = True
                break
            try:
                answers.append(read_answer(event.data))
            except ResponseError as error:
                told = "the stream broke off inside an event"
                raise StreamBrokenError(told, retryable=True) from error
        return answers
