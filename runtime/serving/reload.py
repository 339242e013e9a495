"""A configuration that changes while the runtime runs.

All of the new file is read, merged and checked first; one mistake, and nothing changes. Then what
can change live does, for what begins from now on: a run that is under way ends as it began. What
cannot is named, so that nobody believes a file that is not in force. What code has set stays: the
layers keep their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from understudy.actors.models.directory import Defaults
from understudy.actors.rules.prices import Prices
from understudy.messages.control import Reloaded
from understudy.runtime.config.schema import Config
from understudy.runtime.config.settings import settings_of

if TYPE_CHECKING:
    from understudy.runtime.runtime import Runtime

Change = Callable[["Runtime", Config], None]


def reload_into(runtime: Runtime, config: Config) -> Reloaded:
    """Put `config` in the place of the runtime's own; see the module's docstring. Any thread.

    Raises:
        ConfigError: a value that only the running parts can judge is wrong; nothing has changed.
        RuntimeStoppedError: it has stopped.
    """
    runtime.crew.limiters.check({**config.limits, **runtime.given.get("limits", {})})
    before, after = settings_of(runtime.config), settings_of(config)
    changed = sorted(
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    )
    overruled = [key for key in changed if _overruled(key, runtime)]
    rest = [key for key in changed if key not in overruled]
    applied = [key for key in rest if _change_of(key) is not None]
    changes = list(dict.fromkeys(_change_of(key) for key in applied))
    for change in changes:
        if change is not None:
            change(runtime, config)
    runtime.config = config
    return Reloaded(
        applied=tuple(applied),
        restart=tuple(key for key in rest if key not in applied),
        overruled=tuple(overruled),
    )


def _overruled(key: str, runtime: Runtime) -> bool:
    """Whether code has set what the key stands for."""
    section, _, name = key.partition(".")
    given = runtime.given
    if section == "runtime":
        return name in given
    if section == "llm" and name.startswith("cache"):
        return "cache" in given
    if section == "memory":
        return "memory" in given
    if section in ("limits", "prices"):
        patterns: dict[str, Any] = given.get(section, {})  # Any: Limit or Price
        return any(name.startswith(f"{pattern}.") for pattern in patterns)
    return False


def _change_of(key: str) -> Change | None:
    """What puts a key in force; None: only a restart does."""
    if key in _RESTART:
        return None
    return next((change for prefix, change in _LIVE.items() if key.startswith(prefix)), None)


def _sizes(runtime: Runtime, config: Config) -> None:
    runtime.resize(config.runtime)


def _limits(runtime: Runtime, config: Config) -> None:
    runtime.crew.limiters.reconfigure({**config.limits, **runtime.given.get("limits", {})})


def _prices(runtime: Runtime, config: Config) -> None:
    given = runtime.given.get("prices", {})
    runtime.crew.price_of = Prices({**given, **config.prices, **given}).of


def _models(runtime: Runtime, config: Config) -> None:
    llm = config.llm
    runtime.crew.models.reconfigure(
        Defaults(llm.model, llm.base_url, llm.api_key, llm.temperature, llm.max_tokens)
    )


def _tools(runtime: Runtime, config: Config) -> None:
    defaults, tools = config.tools.defaults, runtime.crew.tools
    runtime.system.call_on_loop(lambda: tools.reconfigure(defaults))
    _caches(runtime, config)


def _caches(runtime: Runtime, config: Config) -> None:
    default = runtime.default_cache(config)
    caches, shared = runtime.crew.caches, config.tools.cache.spec
    runtime.system.call_on_loop(lambda: caches.reconfigure(default, shared))


def _streams(runtime: Runtime, config: Config) -> None:
    runtime.crew.stream_defaults = config.streaming.options


def _specs(runtime: Runtime, config: Config) -> None:
    """Agents and workflows are built from the configuration when they are asked for."""


_LIVE: dict[str, Change] = {
    "limits.": _limits,
    "prices.": _prices,
    "runtime.": _sizes,
    "llm.cache": _caches,
    "llm.": _models,
    "tools.": _tools,
    "streaming.": _streams,
    "agents.": _specs,
    "workflows.": _specs,
}
_RESTART = {"llm.transport", "streaming.timeout"}
