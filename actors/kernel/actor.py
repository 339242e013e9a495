"""`Actor`: what users subclass.

    class Counter(Actor):
        def __init__(self, start: int) -> None:
            self.value = start

        async def on_receive(self, message: Add | Get) -> int | None:
            match message:
                case Add(n=n): self.value += n
                case Get(): return self.value

An actor handles one message at a time. `async def on_receive` runs on the runtime's loop, a plain
`def on_receive` on its threads (`blocking = False` puts it on the loop). What the handler returns
is the answer, what it raises is the error of the one who asked; an error that `expects` does not
name is also reported to the supervisor, which by default restarts the actor with a new instance.

It is a `pykka.Actor`, so `isinstance` holds; pykka's loop, inbox, future and registry are not used.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from understudy.actors.kernel.body import NOW
from understudy.actors.kernel.cell import PykkaActor
from understudy.actors.kernel.context import bind, in_hand
from understudy.actors.kernel.deferred import Deferred, defer
from understudy.actors.kernel.errand import background
from understudy.actors.kernel.options import ChildSpec, child
from understudy.actors.kernel.timers import Timer, start_timer
from understudy.messages.control import Outcome
from understudy.messages.errors import ConfigError, UnderstudyError, UnhandledMessageError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.ref import Ref


class Traits(msgspec.Struct, frozen=True):
    """What the kernel has to know about an actor class, found out once."""

    is_async: bool
    on_loop: bool
    bulkhead: str
    has_on_start: bool
    has_on_stop: bool
    accepts: tuple[type, ...] | None
    expects: tuple[type[BaseException], ...]


class Actor(PykkaActor):
    """Base class of all actors. See the module's docstring."""

    __slots__ = ("_cell",)

    traits: ClassVar[Traits]
    bare: ClassVar[ChildSpec]
    """What the class itself stands for where a specification is taken; made once."""
    accepts: ClassVar[Any] = None  # Any: a type or a union of types
    """Messages it takes; by default the annotation of `on_receive`. Checked when sent."""
    expects: ClassVar[tuple[type[BaseException], ...]] = ()
    """Errors that are answers, not failures."""
    blocking: ClassVar[bool] = True
    """Whether a plain `def on_receive` may block; False puts it on the loop."""
    supervises: ClassVar[bool] = False
    """Whether failures of its children are its own to decide (`child_failed`), as in a Supervisor.
    """
    bulkhead: ClassVar[str] = "threads"
    """The threads that a blocking actor shares; a hung one never takes those of another bulkhead.
    """
    max_outstanding: ClassVar[int] = 10_000
    """Bound on deferred answers, and on background coroutines, of one actor."""

    _cell: Cell

    def __init__(self) -> None:
        # pykka's own __init__ makes a uuid, an inbox, an event and a registry entry.
        pass

    def __init_subclass__(cls, **kwargs: Any) -> None:  # Any: passed on
        super().__init_subclass__(**kwargs)
        cls.traits = _traits(cls)
        cls.bare = child(cls)

    # -- for users to define ----------------------------------------------------------------------

    def on_start(self) -> Any:  # Any: None, or a coroutine in async actors
        """Called on the actor's dispatcher before the first message of each life."""

    def on_stop(self) -> Any:  # Any: None, or a coroutine in async actors
        """Called after the last message, unless the actor is killed or crashes."""

    def on_receive(self, message: Any) -> Any:  # Any: user messages and answers
        """Handle one message; must be defined."""
        kind = type(message).__name__
        raise UnhandledMessageError(f"{self._cell.path} has no handler for {kind}")

    def child_failed(self, cell: Any, error: BaseException) -> None:  # Any: the child's Cell
        """Decide about a child that has failed and waits; only asked when `supervises`."""

    # -- inside a handler -------------------------------------------------------------------------

    @property
    def ref(self) -> Ref[Any]:
        """This actor's own address."""
        return self._cell.ref

    @property
    def actor_ref(self) -> Ref[Any]:
        """Pykka's name for `ref`."""
        return self._cell.ref

    @property
    def context(self) -> ActorContext:
        """The message in hand and the actor's place: deadline, cancellation, run, path, time."""
        return ActorContext(self._cell)

    def spawn(self, spec: ChildSpec | type[Actor], *, name: str | None = None) -> Any:
        """Start a child of this actor; it ends with this life.

        Returns:
            In an async actor something to await for the Ref, in a sync one the Ref itself, both
            after `on_start` has succeeded; its error is raised here.
        """
        reply = self._cell.system.spawn(as_child(spec, name=name), parent=self._cell)
        return reply if self._cell.is_async else reply.get()

    def watch(self, ref: Ref[Any]) -> None:
        """Receive `Terminated` once, when `ref` has ended for good."""
        ref._cell.watch(self._cell)

    def timer(
        self, message: Any, *, after: float | None = None, every: float | None = None
    ) -> Timer:
        """Send `message` to oneself after some seconds, or every so many; ends with this life."""
        return start_timer(self._cell, message, after=after, every=every)

    def stash(self) -> None:
        """Keep the message in hand for later: `unstash` puts it in front of the queue again."""
        env = in_hand.get()
        if env is None or self._cell.current is not env:
            msg = f"stash() needs a message in hand: call it in on_receive of {self._cell.path}"
            raise UnderstudyError(msg)
        self._cell.stash(env)

    def unstash(self) -> None:
        """Handle everything stashed next, in the order in which it was stashed."""
        self._cell.unstash()

    def defer(self) -> Deferred:
        """Take the answer of the message in hand out of the handler, to be given later."""
        return defer(self._cell, self.max_outstanding)

    def background(
        self,
        work: Coroutine[Any, Any, Any],
        *,
        then: Callable[[Outcome], Any],
        of: Deferred | None = None,
    ) -> None:
        """Run a coroutine beside the handlers; `then(outcome)` comes back as a message to oneself.

        Work that does not wait for anything has ended when this returns: `then` is called before.
        Where `then` gives None, nothing comes back.

        It carries deadline, cancellation and trace of the message in hand, or of the message whose
        answer is deferred as `of`, and ends with this life.
        """
        background(self._cell, work, then, self.max_outstanding, of)

    def stop(self) -> None:
        """End after what has been accepted; a permanent child of a supervisor starts again then."""
        self._cell.stop_itself()

    def __str__(self) -> str:
        return f"{type(self).__name__} ({self._cell.path})"


class ActorContext:
    """What a handler may ask about the message in hand and about its actor."""

    __slots__ = ("_cell", "_hand")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._hand = in_hand.get()

    @property
    def path(self) -> str:
        """The actor's path."""
        return self._cell.path

    @property
    def parent(self) -> Ref[Any] | None:
        """The actor that supervises this one."""
        return None if self._cell.parent is None else self._cell.parent.ref

    @property
    def deadline(self) -> float | None:
        """When the message in hand expires, on `now()`'s clock."""
        return None if self._hand is None else self._hand.deadline

    @property
    def cancelled(self) -> bool:
        """True when nobody waits for this work any more: a thread should return soon."""
        hand = self._hand
        if hand is None:
            return False
        if hand.deadline is not None and hand.deadline <= self._cell.system.now():
            return True
        return (hand.scope is not None and hand.scope.cancelled) or self._cell.stopping >= NOW

    @property
    def run_id(self) -> str | None:
        """The run that caused this message."""
        return None if self._hand is None or self._hand.origin is None else self._hand.origin.run_id

    def now(self) -> float:
        """Monotonic seconds, from the runtime's clock."""
        return self._cell.system.now()

    def bind(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `fn` for a raw thread, so that what it sends inherits from the message in hand."""
        return bind(fn)


def as_child(spec: ChildSpec | type[Actor], **options: Any) -> ChildSpec:
    """A child specification for a class or a specification, with options that are not None."""
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(spec, type):
        bare: ChildSpec | None = spec.__dict__.get("bare")  # asking the ABC would take longer
        if bare is not None and not given:
            return bare
        spec = child(spec)
    spec = spec.options(**given) if given else spec
    made: object = spec.cls
    if not (isinstance(made, type) and issubclass(made, Actor)):
        msg = f"{made!r} is not an Actor class; pass child(MyActor, ...) or MyActor"
        raise ConfigError(msg)
    return spec


def _traits(cls: type[Actor]) -> Traits:
    is_async = inspect.iscoroutinefunction(cls.on_receive)
    on_loop = is_async or not cls.blocking
    for hook in (cls.on_start, cls.on_stop):
        if inspect.iscoroutinefunction(hook) and not on_loop:
            msg = (
                f"{cls.__name__}.{hook.__name__} is async but on_receive is not: "
                "make on_receive async too, or the hook sync"
            )
            raise ConfigError(msg)
    return Traits(
        is_async=is_async,
        on_loop=on_loop,
        bulkhead=cls.bulkhead,
        has_on_start=cls.on_start is not Actor.on_start,
        has_on_stop=cls.on_stop is not Actor.on_stop,
        accepts=_accepted(cls),
        expects=tuple(cls.expects),
    )


def _accepted(cls: type[Actor]) -> tuple[type, ...] | None:
    """The classes of the declared messages; None when they are not declared (or are `Any`)."""
    declared = cls.accepts
    if declared is None:
        try:
            hints = typing.get_type_hints(cls.on_receive)
        except (NameError, TypeError):
            return None  # annotations that only a type checker can resolve
        parameters = list(inspect.signature(cls.on_receive).parameters)
        declared = hints.get(parameters[1]) if len(parameters) > 1 else None
    members = typing.get_args(declared) if _is_union(declared) else (declared,)
    kinds = tuple(typing.get_origin(member) or member for member in members)
    if not all(_checkable(kind) for kind in kinds) or object in kinds:
        return None
    return kinds


def _checkable(kind: Any) -> bool:  # Any: whatever stands in an annotation
    """Whether `isinstance` takes it; `Any`, typed dicts and most protocols are classes but no."""
    try:
        isinstance(None, kind)
    except TypeError:
        return False
    return isinstance(kind, type)


def _is_union(declared: Any) -> bool:
    return isinstance(declared, types.UnionType) or typing.get_origin(declared) is typing.Union


Actor.traits = Traits(
    is_async=False,
    on_loop=False,
    bulkhead=Actor.bulkhead,
    has_on_start=False,
    has_on_stop=False,
    accepts=None,
    expects=(),
)
