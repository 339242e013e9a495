"""Which children a failure concerns: the three strategies, as a pure rule.

The names are OTP's. `one_for_one`: the one that failed. `one_for_all`: all of them. `rest_for_one`:
the one that failed and those that were started after it, because they may depend on it. Children
are stopped right to left and started left to right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

from understudy.messages.errors import ConfigError

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
T = TypeVar("T")


def concerned(strategy: Strategy, children: Sequence[T], failed: T) -> list[T]:
    """The children to restart when `failed` has failed, in the order of their start.

    Args:
        strategy: one of the three.
        children: all of them, in the order of their start.
        failed: one of them; if it is not there any more, nothing is concerned.
    """
    if failed not in children:
        return []
    if strategy == "one_for_all":
        return list(children)
    if strategy == "rest_for_one":
        return list(children[children.index(failed) :])
    return [failed]


def check_strategy(strategy: str) -> Strategy:
    """`strategy`, if it is one.

    Raises:
        ConfigError: it is none.
    """
    if strategy not in ("one_for_one", "one_for_all", "rest_for_one"):
        msg = f"strategy={strategy!r}: one of one_for_one, one_for_all, rest_for_one"
        raise ConfigError(msg)
    return strategy  # type: ignore[return-value]
