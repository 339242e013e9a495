"""What an actor consists of, beside its mailbox.

Everything is a slot of one object, and what few actors have (children, timers, watchers) is None
until they do: an idle actor is small. Only `build` and what runs as the actor touch `actor` and
`receive`; the rest is read from any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.mailbox import Mailbox
from understudy.actors.kernel.reply import Reply
from understudy.messages.control import ActorState, MailboxStats

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.dispatchers.base import Dispatcher, Hand
    from understudy.actors.kernel.options import ChildSpec
    from understudy.actors.kernel.ref import Ref
    from understudy.actors.kernel.system import ActorSystem
    from understudy.messages.envelope import Envelope

RUNNING_ON, DRAIN, NOW, KILL = range(4)
"""How urgently an actor is to end."""


class Body(Mailbox):
    """See the module's docstring."""

    __slots__ = (
        "accepts",
        "actor",
        "background",
        "children",
        "enders",
        "hook",
        "incarnation",
        "is_async",
        "last_error",
        "name",
        "parent",
        "receive",
        "ref",
        "restarts",
        "runner",
        "spec",
        "starters",
        "state",
        "stopping",
        "timers",
        "waits_for",
        "watchers",
    )

    def __init__(
        self,
        system: ActorSystem,
        dispatcher: Dispatcher,
        spec: ChildSpec,
        parent: Cell | None,
        name: str | int,
    ) -> None:
        super().__init__(system, dispatcher, spec.mailbox)
        self.spec = spec
        self.parent = parent
        self.name = name
        self.state = ActorState.STARTING
        self.incarnation = 0
        self.stopping = RUNNING_ON
        self.is_async: bool = spec.cls.traits.is_async
        self.accepts: tuple[type, ...] | None = spec.cls.traits.accepts
        self.actor: Any = None  # Any: an instance of spec.cls
        self.receive: Callable[[Any], Any] = nobody  # Any: messages and answers
        self.ref: Ref[Any] = None  # type: ignore[assignment]  # set by ActorSystem.spawn
        self.runner: Hand | None = None
        self.hook: Envelope | None = None  # the operation whose user code runs: see `Ending`
        self.children: dict[str | int, Cell] | None = None
        self.background: dict[int, Any] | None = None  # Any: asyncio tasks
        self.timers: dict[int, Any] | None = None  # Any: Timer
        self.watchers: list[Cell] | None = None
        self.starters: list[Reply[Any]] | None = None
        self.enders: list[Reply[MailboxStats]] | None = None
        self.restarts: Any = None  # Any: RestartHistory, once there was a failure
        self.last_error: BaseException | None = None
        self.waits_for: list[Reply[Any]] | None = None

    @property
    def path(self) -> str:
        """See `Mailbox.path`; made when somebody asks."""
        name = self.name if isinstance(self.name, str) else f"{self.spec.cls.__name__}-{self.name}"
        return f"{self.parent.path}/{name}" if self.parent is not None else f"/{name}"


def nobody(message: object) -> None:
    """The handler of an actor that is between two lives, or has ended."""
    del message
