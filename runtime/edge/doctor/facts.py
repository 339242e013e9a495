"""What a configuration says, and where it says it.

Keys are looked up in the values as they are after merging, so a key that a version of the schema
does not have is known not to be there, and is never taken for one that is off.
"""

from __future__ import annotations

from collections.abc import Mapping

from understudy.messages.caches import CacheSpec
from understudy.runtime.config.problems import shown
from understudy.runtime.config.schema import Config

DURATIONS = frozenset({"timeout", "tool_timeout", "flush_interval", "ttl", "cache_ttl", "cache"})
IN_PROCESS = frozenset({"local"})


class Facts:
    """The values of one configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def knows(self, *path: str) -> bool:
        """Whether there is such a key (or a table of it that is left out)."""
        at: object = self.config
        for name in path:
            if at is None:
                return True
            if isinstance(at, Mapping):
                if name not in at:
                    return False
                at = at[name]
            elif hasattr(at, name):
                at = getattr(at, name)
            else:
                return False
        return True

    def value(self, *path: str) -> object:
        """The value of a key; None where it is not set."""
        at: object = self.config
        for name in path:
            at = at.get(name) if isinstance(at, Mapping) else getattr(at, name, None)
        return at

    def said(self, *path: str) -> str:
        """A key with its value and where that comes from."""
        key, value = shown(path), self.value(*path)
        if value is None:
            return f"{key} is not set"
        origin = self.config.origins.get(key, "default")
        return f"{key} = {written(path[-1], value)} ({origin})"

    @property
    def models(self) -> dict[str, list[str]]:
        """Each model that is named, with the agents that use it; `[llm]` stands for all others."""
        found: dict[str, list[str]] = {}
        if self.config.llm.model is not None:
            found[self.config.llm.model] = []
        for name, agent in self.config.agents.items():
            for model in (agent.model or self.config.llm.model, *agent.fallback):
                if isinstance(model, str):
                    found.setdefault(model, []).append(name)
        return found


def written(name: str, value: object) -> str:
    """A value as TOML has it; seconds of a duration with their unit."""
    if isinstance(value, CacheSpec):
        value = value.ttl  # which is what a file says of an agent's
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and name in DURATIONS:
        return f'"{duration(float(value))}"'
    return f'"{value}"' if isinstance(value, str) else str(value)


def duration(seconds: float) -> str:
    """Seconds as people write them, in the largest unit that needs no fraction."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s" if seconds > 1 else f"{seconds * 1000:g}ms"
