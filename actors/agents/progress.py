"""What a run has so far: its conversation, and what it took.

It is filled turn by turn and can be made into a Result at any time. So a run that fails, is
cancelled or runs out of time still says what it had and what it used (`partial`, `usage`): see
`blame`, which also reckons with the model call that was cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from understudy.actors.agents.ports import ServedModel
from understudy.actors.agents.remembering import Recollection
from understudy.actors.rules.tokens import estimate_tokens
from understudy.messages.agents import Pending, Result, RunAgent, ToolRecord
from understudy.messages.budgets import Price
from understudy.messages.caches import Cached
from understudy.messages.chat import AssistantMessage, Message, Usage, text_of
from understudy.messages.envelope import Origin
from understudy.messages.errors import UnderstudyError
from understudy.messages.memories import Trimmed
from understudy.messages.models import Complete, Completion

PriceOf = Callable[[str, str], Price | None]


class Progress:
    """One run. On the loop's thread; `blame` reads from any.

    Args:
        message: the request.
        origin: run and trace.
        now: monotonic seconds.
        price_of: the price of a model, by provider and name.
    """

    __slots__ = (
        "added",
        "asking",
        "attempts",
        "begin",
        "blamed",
        "cached",
        "calling",
        "cost",
        "history",
        "last",
        "message",
        "now",
        "origin",
        "price_of",
        "recollection",
        "records",
        "served",
        "trimmed",
        "turns",
        "usage",
        "waited",
    )

    def __init__(
        self, message: RunAgent, origin: Origin, now: Callable[[], float], price_of: PriceOf
    ) -> None:
        self.message = message
        self.origin = origin
        self.now = now
        self.price_of = price_of
        self.begin = now()
        self.history = message.history
        """The conversation before this run, as it was given or as its session has it."""
        self.calling: AssistantMessage | None = None
        """The turn whose tool calls are being made."""
        self.recollection: Recollection | None = None
        self.trimmed: Trimmed | None = None
        self.added: tuple[Message, ...] = ()
        """Only whole turns: a tool call is never without its result."""
        self.usage: Usage | None = None
        self.cost: float | None = 0.0
        self.attempts = 0
        self.waited = 0.0
        """Seconds that it waited for limits: its own name's, and those of its model calls."""
        self.turns = 0
        self.records: tuple[ToolRecord, ...] = ()
        self.served: ServedModel | None = None
        self.asking: Complete | None = None
        """The model call that is under way."""
        self.last: Completion | None = None
        self.blamed: UnderstudyError | None = None
        """The error that the run has ended with."""
        self.cached: Cached | None = None
        """Where the last answer was found, if it was not made for this run."""

    # -- counting ----------------------------------------------------------------------------------

    def count(self, usage: Usage, attempts: int) -> float | None:
        """A model call was made; gives its price, None where that is not known."""
        self.usage = usage if self.usage is None else self.usage + usage
        self.attempts += attempts
        served = self.served
        price = None if served is None else self.price_of(served.provider, served.model)
        cost = None if price is None else price.of(usage)
        self.cost = None if self.cost is None or cost is None else self.cost + cost
        return cost

    def include(self, usage: Usage | None, cost: float | None, attempts: int) -> None:
        """An agent that was called as a tool has used this."""
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage + usage
        self.cost = None if self.cost is None or cost is None else self.cost + cost
        self.attempts += attempts

    def add_late(self, usage: Usage | None, cost: float | None, attempts: int) -> None:
        """An agent that it had called was ended with it, and had used this: its error says so."""
        error = self.blamed
        if error is None:
            return
        self.include(usage, cost, attempts)
        error.usage = self.usage
        if isinstance(error.partial, Result):
            error.partial = replace(
                error.partial, usage=self.total, cost=self.cost, attempts=self.attempts
            )
        if self.message.outer is not None:
            self.message.outer.add_late(usage, cost, attempts)

    # -- what it has -------------------------------------------------------------------------------

    @property
    def before(self) -> tuple[Message, ...]:
        """The conversation before this run."""
        resume = self.message.resume
        return self.history if resume is None else resume.pending.messages

    @property
    def total(self) -> Usage:
        """What was used so far."""
        return self.usage or _NOTHING

    def result(
        self,
        *,
        output: Any = msgspec.UNSET,  # Any: the output's type, which may be None
        text: str | None = None,
        pending: Pending | None = None,
    ) -> Result[Any]:  # Any: the output's type
        """The result as it stands; text (and output) are that of the last answer unless given."""
        last, served, origin, message = self.last, self.served, self.origin, self.message
        given = self.recollection
        if text is None:
            text = "" if last is None else last.message.content
        sink = message.sink
        return Result(
            output=text if output is msgspec.UNSET else output,
            text=text,
            messages=(*self.history, *self.added)
            if message.resume is None
            else (*self._kept(), *self.added),
            new_messages=self.added,
            usage=self.usage or _NOTHING,
            duration=self.now() - self.begin,
            time_to_first_token=None if sink is None else sink.first_at,
            finish_reason="stop" if last is None else last.finish_reason,
            model=last.model if last is not None else "" if served is None else served.model,
            provider="" if served is None else served.provider,
            attempts=self.attempts,
            run_id=origin.run_id or "",
            trace_id=origin.trace_id or "",
            tool_calls=self.records,
            cost=self.cost,
            pending=pending,
            cached=self.cached,
            waited=self.waited,
            session="" if message.memory is None else message.memory.session or "",
            passages=() if given is None else given.passages,
            trimmed=self.trimmed,
        )

    def _kept(self) -> tuple[Message, ...]:
        """As `before`, without calls that have no answer yet: no provider takes those."""
        resume = self.message.resume
        if resume is not None and not self.added:
            return resume.pending.messages[:-1]
        return self.before

    def blame(self, error: BaseException | None) -> None:
        """Let an error say what the run had and used, unless it does already."""
        if not isinstance(error, UnderstudyError):
            return
        self.blamed = error
        self.cut_off()
        error.usage = self.usage if self.usage is not None else error.usage
        error.run_id = error.run_id or self.origin.run_id
        if isinstance(error.partial, Result):
            return
        if self.records or (self.last is not None and error.partial is None):
            error.partial = self.result(
                text=error.partial if isinstance(error.partial, str) else None
            )

    def cut_off(self) -> None:
        """Count the model call that is under way by an estimate: nobody waits for it any more."""
        asking, self.asking = self.asking, None
        if asking is None:
            return
        usage = self._estimated(asking)
        cost = self.count(usage, 1)
        for account in self.origin.accounts:
            account.charge(usage, cost)

    def _estimated(self, request: Complete) -> Usage:
        """What went into a model call, and what of its answer was heard."""
        return Usage(
            input_tokens=sum(estimate_tokens(text_of(each)) for each in request.messages),
            output_tokens=estimate_tokens(self.heard),
            measured=False,
        )

    @property
    def has_begun_to_say(self) -> bool:
        """Whether the reader of a stream was given some of the answer under way, or may have."""
        sink = self.message.sink
        if sink is None or sink.first_at is None:
            return False
        return not sink.text or bool(self.heard)  # no text: it is not kept

    @property
    def heard(self) -> str:
        """What of the answer under way the reader of a stream was given."""
        sink = self.message.sink
        if sink is None:
            return ""
        said = sum(len(each.content) for each in self.added if isinstance(each, AssistantMessage))
        text: str = sink.text
        return text[said:]


_NOTHING = Usage()
