"""What the values that users write may be, for those who run no type checker.

A `Kind` is data: whether a value is one, and what to say where it is not. A number is finite and no
bool. Nothing is converted: `"5"` for 5 is a mistake that is cheaper found than guessed at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from understudy.messages.errors import ConfigError

_EVER = float("inf")


class Kind(NamedTuple):
    """What a value may be.

    Attributes:
        fits: whether it is.
        needed: what to say where it is not, behind the value.
    """

    fits: Callable[[object], bool]
    needed: str

    def check(self, where: str, name: str, value: object) -> None:
        """Raise ConfigError unless the value is one: `Agent(timeout='5s'): more than 0 ...`."""
        if not self.fits(value):
            raise self.problem(where, name, repr(value))

    def problem(self, where: str, name: str, shown: str) -> ConfigError:
        """The error for a value that is none."""
        return ConfigError(f"{where}({name}={shown}): {self.needed}")


def instance(needed: str, *kinds: type) -> Kind:
    """An instance of one of these."""
    return Kind(lambda value: isinstance(value, kinds), needed)


def more_than_nothing(needed: str) -> Kind:
    """A number above 0."""
    return Kind(lambda value: is_number(value) and 0 < value < _EVER, needed)  # type: ignore[operator]


def whole(needed: str, least: int | None = None) -> Kind:
    """A whole number, `least` or more."""
    return Kind(
        lambda value: (
            isinstance(value, int)
            and not isinstance(value, bool)
            and (least is None or value >= least)
        ),
        needed,
    )


def is_number(value: object) -> bool:
    """A number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


TEXT = instance("a text is needed", str)
FLAG = instance("True or False is needed", bool)
SECONDS = more_than_nothing("more than 0 seconds are needed, as a number")
COUNT = whole("at least 1 is needed, as a whole number", 1)
WHOLE = whole("a whole number is needed")
RETRIES = whole("0 or more, as a whole number", 0)
NOT_NEGATIVE = Kind(
    lambda value: is_number(value) and 0 <= value < _EVER,  # type: ignore[operator]
    "0 or more, as a number",
)
