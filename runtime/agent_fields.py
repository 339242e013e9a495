"""What the fields of an agent may be: checked when it is made, also for one call.

A mistake that is found here names the field; found in the middle of a run it would be somebody
else's `TypeError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import msgspec

from understudy.messages.agents import AgentSpec
from understudy.messages.budgets import Budget
from understudy.messages.errors import ConfigError
from understudy.messages.hooks import Hooks
from understudy.messages.kinds import (
    COUNT,
    FLAG,
    NOT_NEGATIVE,
    RETRIES,
    SECONDS,
    TEXT,
    WHOLE,
    Kind,
    instance,
    more_than_nothing,
    whole,
)
from understudy.messages.memories import MemorySpec
from understudy.messages.secrets import Secret

_KINDS: dict[str, Kind] = {
    "name": TEXT,
    "instructions": TEXT,
    "temperature": NOT_NEGATIVE,
    "max_tokens": COUNT,
    "seed": WHOLE,
    "max_turns": COUNT,
    "tool_timeout": SECONDS,
    "tool_concurrency": COUNT,
    "rate_limit": more_than_nothing("more than 0 runs a second are needed"),
    "max_concurrent": COUNT,
    "timeout": SECONDS,
    "retries": RETRIES,
    "hooks": instance("give a Hooks(...)", Hooks),
    "budget": instance("give a Budget(...)", Budget),
    "memory": instance("give a Memory(...)", MemorySpec),
    "history_limit": whole("0 messages or more", 0),
    "context_window": COUNT,
    "keep_first": FLAG,
    "base_url": TEXT,
    "api_key": instance("give a Secret(...), or a text such as 'env:NAME'", str, Secret),
    "extra": instance("a dict is needed", dict),
}
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(AgentSpec)}
_ROWS = tuple((name, kind, _DEFAULTS[name]) for name, kind in _KINDS.items())
_values = attrgetter(*_KINDS)


def check_fields(agent: AgentSpec) -> None:
    """Raise ConfigError for the first field that cannot be."""
    for (name, kind, default), value in zip(_ROWS, _values(agent), strict=True):
        if value is not default and not kind.fits(value):
            secret = name == "api_key"  # whatever it is, it is not for a log
            raise kind.problem("Agent", name, "..." if secret else repr(value))
    key = agent.api_key
    if isinstance(key, str) and not key.startswith("env:"):
        msgspec.structs.force_setattr(agent, "api_key", Secret(key))  # never printed, never sent on
    for name in ("tools", "fallback", "stop"):
        value = getattr(agent, name)
        if type(value) is not tuple:
            msgspec.structs.force_setattr(agent, name, _as_tuple(name, value))
    for each in agent.stop:
        TEXT.check("Agent", "stop", each)
    for model in agent.fallback:
        if not (isinstance(model, str) or hasattr(model, "complete")):
            needed = "write models as 'provider:model', or give objects like FakeModel"
            raise ConfigError(f"Agent(fallback={list(agent.fallback)!r}): {needed}")


def _as_tuple(name: str, value: object) -> tuple[Any, ...]:  # Any: tools, models, texts
    if value is None:
        raise ConfigError(f"Agent({name}=None): leave it out, or write a list")
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ConfigError(f"Agent({name}={value!r}): write a list, such as {name}=[{value!r}]")
    return tuple(value)
