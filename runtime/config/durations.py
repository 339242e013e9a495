"""Durations as people write them: `"250ms"`, `"5m"`, `"1h30m"`.

A bare number is refused: whoever reads `timeout = 500` cannot know whether that is seconds, and
libraries that guessed have been wrong by a factor of a thousand.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from understudy.messages.errors import ConfigError

UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_DURATION = re.compile(
    "".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit}(?![a-z]))?" for unit in UNITS), re.ASCII
)


def parse_duration(value: object) -> float:
    """Seconds of a duration with units, the largest first.

    Raises:
        ConfigError: for a number (and says how to write it with its unit), and for any other text.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ConfigError(f'{value} has no unit; write "{value}s" or "{value}ms"')
    if not isinstance(value, str):
        raise ConfigError(f'a duration is text with a unit, such as "20s", not {value!r}')
    text = value.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        raise ConfigError(f'"{text}" has no unit; write "{text}s" or "{text}ms"')
    match = _DURATION.fullmatch(text)
    seconds = math.inf
    if text and match is not None:
        seconds = sum(float(count) * UNITS[unit] for unit, count in match.groupdict("0").items())
    if math.isinf(seconds):
        raise ConfigError(
            f'"{value}" is not a duration; write numbers with d, h, m, s or ms, '
            'the largest first, such as "250ms", "5m" or "1h30m"'
        )
    return seconds


if TYPE_CHECKING:
    Duration = float
    Interval = float
else:

    class Duration(float):
        """Marks a field that is written with a unit; its value is a plain float in seconds."""

    class Interval(Duration):
        """A duration that may be zero."""
