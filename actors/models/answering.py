"""One answer on its way, from the head of a response to its `Completion` or its error.

`Blame` turns what went wrong into an error that knows whose it is and does not contain the key.
`Answering` drives one answer: payloads in, pieces out, and at the end either all of it was there or
it has broken off. What came before an error is given out before it is raised.
"""

from __future__ import annotations

from collections.abc import Callable

from understudy.actors.kernel.sinks import Sink
from understudy.actors.models.assembly import Assembly, RefusedError
from understudy.actors.models.failures import Refusal, classify
from understudy.actors.models.headroom import headroom_of
from understudy.actors.models.incoming import Incoming
from understudy.actors.models.payloads import Payloads
from understudy.actors.models.provider import TextPiece, ThoughtPiece
from understudy.actors.models.wire import read_refusal
from understudy.messages.errors import (
    DeadlineExceededError,
    ModelError,
    ResponseError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.models import Completion

Pieces = list[TextPiece | ThoughtPiece]


class Blame:
    """Makes errors of one call to one model.

    Args:
        provider: who answers.
        model: who was asked.
        incoming: the answer.
        request_id_header: where the provider keeps the id of a call.
        scrub: takes the key out of a text.
    """

    def __init__(
        self,
        provider: str,
        model: str,
        incoming: Incoming,
        request_id_header: str,
        scrub: Callable[[str], str],
    ) -> None:
        self._provider = provider
        self._model = model
        self._incoming = incoming
        self._scrub = scrub
        self.request_id = incoming.headers.get(request_id_header)

    def refused(self, refusal: Refusal, status: int | None) -> ModelError:
        """The error that a refusal is; status None: it was inside an answer."""
        return classify(
            refusal,
            provider=self._provider,
            model=self._model,
            status=status,
            headers=self._incoming.headers,
            request_id=self.request_id,
        )

    def named(self, error: ModelError) -> ModelError:
        """The same error, knowing whose it is, and without the key that a server may quote."""
        whose = f"{self._provider}:{self._model}: "
        said = self._scrub(error.message)
        error.args = (said if said.startswith(whose) else whose + said,)
        error.provider, error.model = self._provider, self._model
        error.request_id = error.request_id or self.request_id
        if not isinstance(error, StreamBrokenError | ServerError):  # a 200 explains neither
            error.status = error.status or self._incoming.status
        return error


class Answering:
    """One answer on its way; see the module's docstring. Close its `Incoming` in the end."""

    def __init__(
        self, incoming: Incoming, payloads: Payloads, assembly: Assembly, blame: Blame
    ) -> None:
        self._incoming = incoming
        self._payloads = payloads
        self._assembly = assembly
        self._blame = blame
        self._held: ModelError | None = None
        self._sink: Sink | None = None
        self._rest: Pieces = []
        self._is_full = False
        self.delivered = False
        """Whoever streams has seen something of it."""

    async def next(self) -> Pieces | None:
        """The pieces in the next part of the body; None after the last, when nothing is missing.

        Raises:
            ModelError: the answer is a refusal, cannot be understood, or has broken off.
            DeadlineExceededError: the time of the request is over.
        """
        if self._held is not None:
            raise self._held
        if self._incoming.status != 200:
            raise await self._refusal()
        payloads, assembly = self._payloads, self._assembly
        if payloads.over or assembly.ended:
            await self._finish()
            return None
        whole = payloads.framing == "whole"
        return self._take(
            payloads.take(await (self._incoming.read() if whole else self._incoming.next()))
        )

    async def pour(self, sink: Sink) -> None:
        """All pieces into a sink, as fast as it has room; each where its bytes arrive.

        Raises:
            As `next`.
            RunCancelledError: the sink was closed.
        """
        if self._incoming.status != 200:
            raise await self._refusal()
        payloads, assembly, incoming = self._payloads, self._assembly, self._incoming
        self._sink = sink
        while True:
            if self._is_full:
                await sink.room()
                self._is_full = False
                self._give(self._rest)
            elif self._held is not None:
                raise self._held
            elif payloads.over or assembly.ended:
                break
            elif payloads.framing == "whole":
                self._give(self._take(payloads.take(await incoming.read())))
            elif await incoming.pour(self._arrived):
                self._give(self._take(payloads.take(None)))
        await self._finish()

    def _arrived(self, part: bytes) -> bool:
        self._give(self._take(self._payloads.take(part)))
        return not (self._is_full or self._assembly.ended or self._held is not None)

    def _give(self, pieces: Pieces) -> None:
        """Into the sink; those behind the one that fills it wait for room."""
        sink: Sink = self._sink  # type: ignore[assignment]  # `pour` has set it
        for number, piece in enumerate(pieces, 1):
            self.delivered = True
            if type(piece) is TextPiece:
                fits = sink.offer(piece.text)
            else:
                fits = sink.text_only or sink.think(piece.text)
            if not fits:
                self._is_full = True
                self._rest = pieces[number:]
                return

    def completion(self) -> Completion:
        """The whole answer, once `next` has given None."""
        return self._assembly.completion(
            self._blame.request_id, headroom_of(self._incoming.headers)
        )

    def blamed(
        self, error: ModelError | DeadlineExceededError
    ) -> ModelError | DeadlineExceededError:
        """The error with what is known here: the text that had come, and what it cost."""
        error.partial = self._assembly.text
        if self._assembly.usage is not None or error.partial:
            error.usage = self._assembly.counted()
        if isinstance(error, DeadlineExceededError):
            return error
        error.retryable = error.retryable and not self.delivered
        return self._blame.named(error)

    async def _refusal(self) -> ModelError:
        refusal = read_refusal(await self._incoming.read())
        return self._blame.refused(refusal, self._incoming.status)

    async def _finish(self) -> None:
        """All that was wanted is there: see what else comes, and whether something is missing."""
        if not self._payloads.over:
            await self._incoming.drain()
        if not self._assembly.finished:
            told = "the stream ended before its end marker"
            raise StreamBrokenError(told, retryable=True)

    def _take(self, batch: list[bytes]) -> Pieces:
        pieces: Pieces = []
        for payload in batch:
            try:
                pieces += self._read(payload)
            except ModelError as error:
                if not pieces:
                    raise
                self._held = error  # after what came before it
                break
            if self._assembly.ended:
                break
        return pieces

    def _read(self, payload: bytes) -> Pieces:
        whole = self._payloads.framing == "whole"
        try:
            return self._assembly.take(payload, whole=whole)
        except RefusedError as refused:
            raise self._blame.refused(refused.refusal, None) from None
        except ResponseError as error:
            if self._payloads.over and not whole:
                # Half an event is a broken stream, not a bad answer.
                told = "the stream broke off inside an event"
                raise StreamBrokenError(told, retryable=True) from error
            raise
