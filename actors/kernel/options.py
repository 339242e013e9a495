"""How an actor is made and kept: options and child specifications, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from understudy.messages.control import Directive, Overflow
from understudy.messages.errors import ConfigError

RestartType = Literal["permanent", "transient", "temporary"]


class MailboxOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Bound of a mailbox in messages, and what happens at the bound (see `Overflow`)."""

    capacity: int = 1024
    overflow: Overflow | Literal["reject", "drop_oldest", "drop_newest", "wait"] = Overflow.REJECT

    def __post_init__(self) -> None:
        if self.capacity < 1:
            msg = f"MailboxOptions(capacity={self.capacity}): at least 1 is needed"
            raise ConfigError(msg)
        if self.overflow not in tuple(Overflow):
            known = ", ".join(Overflow)
            msg = f"MailboxOptions(overflow={self.overflow!r}): one of {known}"
            raise ConfigError(msg)


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A child as data: the class, its arguments, and how it is supervised.

    The class is called with the same arguments at every restart, so they must be safe to use again.

    Attributes:
        restart: `permanent` always (under a supervisor also when it stops itself), `transient`
            after a failure, `temporary` never.
        significant: when it fails too often, its supervisor fails too, instead of parking it.
        directives: what to do per exception type; the most specific type wins.
    """

    cls: type[Any]  # Any: an Actor class; the kernel's Actor imports this module
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    name: str | None = None
    restart: RestartType = "permanent"
    significant: bool = False
    mailbox: MailboxOptions = MailboxOptions()
    directives: Mapping[type[BaseException], Directive] = {}

    def options(self, **changes: Any) -> ChildSpec:  # Any: fields of this struct
        """A copy with other options: name, restart, significant, mailbox, directives."""
        unknown = set(changes) - (set(self.__struct_fields__) - {"cls", "args", "kwargs"})
        if unknown:
            known = "name, restart, significant, mailbox, directives"
            msg = f"child(...).options({', '.join(sorted(unknown))}=): unknown; there are {known}"
            raise ConfigError(msg)
        return msgspec.structs.replace(self, **changes).checked()

    def checked(self) -> ChildSpec:
        """This spec, or a ConfigError that names what is wrong with it."""
        if self.restart not in ("permanent", "transient", "temporary"):
            msg = f"restart={self.restart!r}: one of permanent, transient, temporary"
            raise ConfigError(msg)
        if self.name is not None and (not self.name or "/" in self.name):
            msg = f"name={self.name!r}: a name is not empty and has no '/'"
            raise ConfigError(msg)
        return self

    def directive_for(self, error: BaseException) -> Directive:
        """What to do about `error`."""
        for kind in type(error).__mro__:
            if kind in self.directives:
                return Directive(self.directives[kind])
        return Directive.STOP if self.restart == "temporary" else Directive.RESTART


def child(cls: type[Any], *args: Any, **kwargs: Any) -> ChildSpec:  # Any: the class's own arguments
    """Specify a child: `child(Counter, start=0).options(restart="transient")`."""
    return ChildSpec(cls=cls, args=args, kwargs=kwargs)
