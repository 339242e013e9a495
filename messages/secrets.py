"""`Secret`: a value that cannot be printed or encoded by accident.

A plain `str` for a key ends up in a repr, a log line, a traceback or a cache key sooner or later. A
`Secret` shows `***` everywhere, is refused by the codec, and gives its value to the one caller who
asks with `reveal()`. `env:NAME` references are resolved late, so specs carry the name and not the
value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from understudy.messages.errors import CodecError, ConfigError


class Secret:
    """A value for the wire only: `str()` and `repr()` give `***`; it does not encode or pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the header it belongs in."""
        return self._value

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        msg = "a Secret cannot be encoded; pass 'env:NAME' and let the receiver read it"
        raise CodecError(msg)


def resolve_secret(value: str | Secret | None, environ: Mapping[str, str]) -> Secret | None:
    """Make a Secret of `env:NAME` or a plain value; a missing variable is a ConfigError."""
    if value is None or isinstance(value, Secret):
        return value
    if not value.startswith("env:"):
        return Secret(value)
    name = value.removeprefix("env:")
    found = environ.get(name)
    if not found:
        msg = f"the environment variable {name} is not set; export {name}=... or pass api_key="
        raise ConfigError(msg)
    return Secret(found)
