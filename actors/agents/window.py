"""How much of a conversation goes to the model: `history_limit` and `context_window` of an agent.

The history is what is cut; system messages and the turn in hand, its tool calls and their results
stay whole. The window is that of what is sent: instructions, tools and prompt count.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from understudy.actors.agents.tokenizers import Tokenizer
from understudy.actors.rules.trimming import trim
from understudy.messages.agents import AgentSpec
from understudy.messages.chat import AssistantMessage, Image, Message, SystemMessage, text_of
from understudy.messages.errors import ContextWindowError
from understudy.messages.memories import Trimmed
from understudy.messages.models import ToolDeclaration

PER_MESSAGE = 4
"""Tokens of the frame around a message."""
PER_IMAGE = 1000
"""Tokens of a picture; providers count 85 to 1,600, by its size."""


class Window:
    """Cuts the conversation of one run.

    Args:
        spec: the bounds.
        tokenizer: counts where there is a window.
        tools: what the model is told of them counts too.
        limit: messages of the history, at most.
        missing: messages of the history that were not even fetched.
    """

    __slots__ = ("_keep_first", "_limit", "_missing", "_tokenizer", "_tools", "_window", "trimmed")

    def __init__(
        self,
        spec: AgentSpec,
        tokenizer: Tokenizer,
        tools: Sequence[ToolDeclaration],
        *,
        limit: int | None,
        missing: int,
    ) -> None:
        self._limit = limit
        self._window = spec.context_window
        self._keep_first = spec.keep_first
        self._tokenizer = tokenizer
        self._missing = missing
        counted = self._window is not None and tools
        self._tools = tokenizer.count(msgspec.json.encode(tools).decode()) if counted else 0
        self.trimmed: Trimmed | None = None

    def begin(self, messages: tuple[Message, ...], own: int, history: int) -> tuple[Message, ...]:
        """The first request of a run: the last `own` are its own, before them is the history.

        Raises:
            ContextWindowError: there is no place for any history, nor even for what has to be sent.
        """
        kept = self.fit(messages, own)
        tokens = None
        if self._window is not None:
            tokens = self._tools + sum(map(self.weigh, kept))
            if tokens > self._window:
                raise ContextWindowError(
                    f"instructions, tools and prompt are {tokens} tokens "
                    f"({self._tokenizer.name}), context_window={self._window}: shorten them, or "
                    "raise it"
                )
        dropped = len(messages) - len(kept) + self._missing
        self.trimmed = Trimmed(
            kept=history + self._missing - dropped,
            dropped=dropped,
            tokens=tokens,
            tokenizer=None if tokens is None else self._tokenizer.name,
        )
        return kept

    def room(self, messages: tuple[Message, ...], own: int) -> int | None:
        """Tokens that are left beside what has to be sent; None where there is no window."""
        if self._window is None:
            return None
        head = [each for each in messages[:1] if isinstance(each, SystemMessage)]
        needed = (*head, *messages[len(messages) - own :])
        return self._window - self._tools - sum(map(self.weigh, needed))

    def fit(self, messages: tuple[Message, ...], own: int) -> tuple[Message, ...]:
        """As many messages as there is place for; the last `own` are never cut."""
        at = len(messages) - own
        last, window = messages[at:], self._window
        if window is not None:
            window -= self._tools + sum(map(self.weigh, last))
        kept = trim(
            messages[:at],
            limit=self._limit,
            window=window,
            weigh=self.weigh,
            keep_first=self._keep_first,
        )
        return (*kept, *last)

    def weigh(self, message: Message) -> int:
        """The tokens of a message."""
        count = self._tokenizer.count
        tokens = PER_MESSAGE + count(text_of(message))
        if isinstance(message, AssistantMessage):
            for call in message.tool_calls:
                tokens += count(call.name) + count(msgspec.json.encode(call.arguments).decode())
        elif not isinstance(message.content, str):
            tokens += PER_IMAGE * sum(isinstance(part, Image) for part in message.content)
        return tokens
