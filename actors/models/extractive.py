"""`local:extractive`: a model without a network and without weights.

It answers with sentences of the prompt itself (see `rules.extractive`): deterministic, quoted
verbatim, and honest about what it is: it follows no instructions and takes no sampling options.
The work is done by worker actors on threads of their own, in slices of a few milliseconds between
which they look whether anybody still waits; one worker a core, since they share one interpreter.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.ref import Ref
from understudy.actors.models.provider import TextPiece
from understudy.actors.rules.extractive import ExtractiveSummary, summarise
from understudy.messages.chat import AssistantMessage, Usage, UserMessage, text_of
from understudy.messages.errors import BadRequestError, RunCancelledError
from understudy.messages.models import Complete, Completion

DEFAULT_MAX_TOKENS = 160
NAME = "local"
MODEL = "extractive"


class Summarise(msgspec.Struct, frozen=True, kw_only=True):
    """Summarise `text` in at most `max_tokens`; the reply is an `ExtractiveSummary`."""

    text: str
    max_tokens: int


class ExtractiveWorker(Actor):
    """Summarises one text at a time, on a thread."""

    expects = (RunCancelledError,)

    def on_receive(self, message: Summarise) -> ExtractiveSummary:
        """Work in slices; stop between two of them when nobody waits any more."""
        context = self.context
        for summary in summarise(message.text, max_tokens=message.max_tokens):
            if summary is not None:
                return summary
            if context.cancelled:
                raise RunCancelledError(f"cancelled in {context.path}")
        raise AssertionError("the last step of a summary is the summary")


class LocalModel:
    """The provider `local` (see `Provider`), over worker actors."""

    name = NAME

    def __init__(self, workers: Sequence[Ref[Any]]) -> None:  # Any: Ref of ExtractiveWorker
        self._workers = workers

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """Summarise the last user message.

        Raises:
            BadRequestError: another model than `extractive`, an `output=`, or nothing to summarise.
        """
        summary = await self._summarise(request, timeout)
        return self._completion(request, summary)

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[TextPiece | Completion, None]:
        """The same, sentence by sentence, and the whole `Completion` last."""
        summary = await self._summarise(request, timeout)
        for number, sentence in enumerate(summary.sentences):
            yield TextPiece(text=sentence if number == 0 else f"\n{sentence}")
        yield self._completion(request, summary)

    async def aclose(self) -> None:
        """Nothing to let go of: the workers belong to the tree."""

    async def _summarise(self, request: Complete, timeout: float | None) -> ExtractiveSummary:
        if request.model != MODEL:
            msg = f"local has no model {request.model!r}; there is local:{MODEL}"
            raise BadRequestError(msg, provider=NAME, model=request.model)
        if request.output is not None:
            msg = (
                f"local:{MODEL} quotes sentences and writes no JSON: an agent with output= needs "
                "another model"
            )
            raise BadRequestError(msg, provider=NAME, model=request.model)
        text = next(
            (text_of(m) for m in reversed(request.messages) if isinstance(m, UserMessage)), ""
        )
        worker = min(self._workers, key=lambda ref: ref.stats.depth)
        summary: ExtractiveSummary = await worker.request(
            Summarise(text=text, max_tokens=request.max_tokens or DEFAULT_MAX_TOKENS),
            timeout=timeout,
        )
        return summary

    @staticmethod
    def _completion(request: Complete, summary: ExtractiveSummary) -> Completion:
        return Completion(
            message=AssistantMessage(content="\n".join(summary.sentences)),
            finish_reason="length" if summary.truncated else "stop",
            usage=Usage(
                input_tokens=summary.input_tokens,
                output_tokens=summary.output_tokens,
                measured=False,
            ),
            model=request.model,
            provider=NAME,
        )
