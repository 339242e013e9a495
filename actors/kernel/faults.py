"""Fault plans: what shall go wrong in a simulation, as data.

    Faults(
        crash=Fault("/user/search-*", nth=3),              # its third message
        slow=Fault("*", chance=0.05, seconds=(0.1, 90)),   # one message in twenty, that long
        drop_reply=Fault("/user/pool", chance=0.01),
    )

A plan holds no state and prints as the code that makes it, so it can be part of a seed that is
reported. What is drawn for it comes from a stream of the seed of its own: another fault changes
what goes wrong, not how actors are scheduled.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from understudy.messages.errors import ConfigError, UnderstudyError


class SimulatedCrashError(UnderstudyError):
    """What a handler raises that was told to crash."""


class Fault(msgspec.Struct, frozen=True):
    """Which messages are hit: those of actors whose path matches, the n-th ones or by chance.

    Attributes:
        path: a pattern for paths, such as `/user/search-*`; `*` matches `/` too.
        nth: the number of a message, or several, counted from 1 over all lives of an actor.
        chance: of each message, from 0 to 1.
        seconds: of `slow`: how long the handler takes longer, or (at least, at most).
    """

    path: str = "*"
    nth: int | tuple[int, ...] = ()
    chance: float = 0.0
    seconds: float | tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.numbers and not self.chance:
            msg = f"Fault({self.path!r}) hits nothing: give nth= or chance="
            raise ConfigError(msg)
        if not 0.0 <= self.chance <= 1.0:
            raise ConfigError(f"Fault(chance={self.chance}): from 0 to 1")
        if any(number < 1 for number in self.numbers):
            raise ConfigError(f"Fault(nth={self.nth}): the first message is 1")
        least, most = self.span
        if not 0.0 <= least <= most:
            raise ConfigError(f"Fault(seconds={self.seconds}): 0 or more, the lesser one first")

    @property
    def numbers(self) -> tuple[int, ...]:
        """`nth` as a tuple."""
        return (self.nth,) if isinstance(self.nth, int) else self.nth

    @property
    def span(self) -> tuple[float, float]:
        """`seconds` as a tuple."""
        seconds = self.seconds or 0.0
        return seconds if isinstance(seconds, tuple) else (seconds, seconds)

    def matches(self, path: str) -> bool:
        """Whether it is about the actor at `path`."""
        return fnmatchcase(path, self.path)


Plan = Fault | Sequence[Fault]


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """A fault plan; each part is one `Fault` or several.

    Attributes:
        crash: the handler raises `SimulatedCrashError`, before its work or after it (drawn).
        slow: the handler takes longer, in virtual time; needs `seconds`.
        drop_reply: the answer is lost; who asked gets its deadline.
        full_mailbox: the message is refused as if the mailbox were full.
    """

    crash: Plan = ()
    slow: Plan = ()
    drop_reply: Plan = ()
    full_mailbox: Plan = ()

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            for fault in self.of(name):
                if (fault.seconds is not None) is not (name == "slow"):
                    msg = f"Faults({name}={fault!r}): seconds= belongs to slow=, and to slow= alone"
                    raise ConfigError(msg)

    def of(self, name: str) -> tuple[Fault, ...]:
        """The faults of one kind."""
        plan: Plan = getattr(self, name)
        return (plan,) if isinstance(plan, Fault) else tuple(plan)
