"""What an agent needs from the other families, which it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from understudy.actors.agents.tokenizers import Tokenizer
    from understudy.actors.kernel.run_context import RunContext
    from understudy.messages.agents import AgentSpec
    from understudy.messages.budgets import Price
    from understudy.messages.caches import Cached
    from understudy.messages.chat import ToolCall
    from understudy.messages.chunks import AnyChunk
    from understudy.messages.models import Complete, Completion, ToolDeclaration
    from understudy.messages.tools import ToolResult


class ServedModel(Protocol):
    """The Model actor of an agent."""

    @property
    def ref(self) -> Any:  # Any: Ref of a Model actor
        """Whom to ask."""

    @property
    def model(self) -> str:
        """The name behind the provider's colon."""

    @property
    def provider(self) -> str:
        """The name before it."""

    @property
    def account(self) -> str:
        """Tells apart accounts and addresses at one provider; never a key."""

    @property
    def durable(self) -> bool:
        """Whether `account` means the same in another process."""


class Answers(Protocol):
    """A cache of what models answer."""

    def covers(self, request: Complete, sink: Any) -> bool:  # Any: a sink, or None
        """Whether a call goes through it."""

    async def ask(
        self,
        request: Complete,
        served: ServedModel,
        begin: Callable[[Any], Any],  # Any: a sink, or None; a Reply with a Completion
        *,
        sink: Any,  # Any: where the answer is streamed to, or None
        seconds: float | None,
        tenant: str,
    ) -> tuple[Completion, Cached | None]:
        """The answer, and where it was found; None: `begin` was called and this one pays.

        Raises:
            UnderstudyError: what the call failed with, or the time that is over.
        """


class Sampling(Protocol):
    """What agents use that do not say otherwise."""

    @property
    def temperature(self) -> float | None:
        """Of their requests, where it is sent at all."""

    @property
    def max_tokens(self) -> int | None:
        """Of each answer."""


class Models(Protocol):
    """Finds the Model actor of an agent."""

    @property
    def defaults(self) -> Sampling:
        """What agents use that do not say otherwise."""

    def find(self, spec: AgentSpec) -> ServedModel:
        """Raises ConfigError or AuthenticationError when there can be none."""


class Sink(Protocol):
    """The producer's side of a stream; used on the runtime's loop."""

    first_at: float | None
    """Seconds from the beginning to the first text."""
    text: str
    """All text so far."""
    text_only: bool
    """Nobody wants anything but text: `put` builds nothing then."""

    @property
    def at(self) -> float:
        """Seconds since the stream began."""

    async def put(self, make: Callable[[int], AnyChunk]) -> None:
        """Take the chunk that `make` makes of its index; waits while the reader is behind.

        With `text_only` nothing is made, nothing is taken, and nothing is waited for.

        Raises:
            RunCancelledError: the stream was closed.
        """


class ToolTable(Protocol):
    """The tools of an agent, checked and ready to be called."""

    @property
    def declarations(self) -> tuple[ToolDeclaration, ...]:
        """What the model is told; may become more precise once a lazy tool is loaded."""

    def needs_approval(self, name: str) -> bool:
        """Whether somebody has to agree before that tool is called; False for unknown names."""


class Tools(Protocol):
    """Calls tools. On the loop's thread only."""

    def table(self, tools: tuple[Any, ...]) -> ToolTable:  # Any: tools, functions, toolsets
        """The table of these tools; made once for each tuple.

        Raises:
            ConfigError: says which of them is no tool, or wrong, and why.
        """

    async def call(
        self,
        table: Any,  # Any: what `table` gave
        calls: tuple[ToolCall, ...],
        *,
        timeout: float | None,
        max_concurrent: int,
        context: RunContext | None,
        started: Callable[[ToolCall], Awaitable[None]] | None = None,
        finished: Callable[[ToolResult], Awaitable[None]] | None = None,
    ) -> tuple[ToolResult, ...]:
        """Make the calls of one turn, in parallel; results in the order of the calls.

        Args:
            table: the tools that may be called.
            calls: what the model asks for.
            timeout: seconds for each attempt of tools that do not say; None is the default (30).
            max_concurrent: calls at a time.
            context: what the run shares; tools that ask for one get a fresh one when it is None.
            started: awaited when a call begins.
            finished: awaited when it has ended, well or not.

        Failures are results. Only cancellation, the end of the runtime and exceptions that steer
        the run are raised; the other calls are cancelled then.
        """


class Company(Protocol):
    """Everything that runs of agents share."""

    @property
    def models(self) -> Models:
        """Who answers."""

    @property
    def tools(self) -> Tools:
        """Who calls functions."""

    @property
    def price_of(self) -> Callable[[str, str], Price | None]:
        """What a model costs, by provider and name, where that is known."""

    def answers_of(self, spec: AgentSpec) -> Answers | None:
        """The cache that an agent asks before a model; None where it has none."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Counts tokens for context windows."""

    def limiter_of(self, spec: AgentSpec, around: tuple[str, ...]) -> Any:  # Any: Ref of a limiter
        """Who bounds the runs of agents of this name; None where nobody does.

        Args:
            spec: the agent.
            around: names of the agents around this run: what they hold is not waited for.

        Raises:
            ConfigError: another agent of this name has other bounds.
        """

    def run_nested(
        self,
        spec: AgentSpec,
        prompt: str,
        outer: Any,  # Any: a Progress
    ) -> Awaitable[Any]:  # Any: a Result
        """Run an agent for the message in hand, called by the run `outer`."""
