"""A configuration, explained: what is in force, from where, and what will come of it.

The explanation is itself a configuration that loads: the merged values as TOML, with their origins
as comments. No secret is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from understudy.actors.models.refusals import refusals
from understudy.actors.models.registry import provider_for
from understudy.actors.tools.caching import caching_of
from understudy.actors.tools.signature import Signature
from understudy.actors.tools.table import specs_of
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef
from understudy.messages.secrets import Secret
from understudy.runtime.config.problems import shown
from understudy.runtime.config.read import SECTIONS
from understudy.runtime.config.schema import Config
from understudy.runtime.config.settings import as_toml, heading, tables_of

LOCAL = "local"


def merged(config: Config) -> str:
    """What is in force as TOML, each line with where it comes from.

    Sections are complete, defaults included, but for what is unset; tables by name (agents,
    workflows, limits, prices) have what was set in them.
    """
    shown_settings = [
        (path, value)
        for path, value in tables_of(config)
        if value is not None and (path[0] in SECTIONS or shown(path) in config.origins)
    ]
    blocks = []
    for table, settings in groupby(shown_settings, key=lambda it: it[0][:-1]):
        lines = [
            (f"{path[-1]} = {as_toml(value)}", config.origins.get(shown(path), "default"))
            for path, value in settings
        ]
        width = min(max(len(text) for text, _ in lines), 60)
        body = [f"{text:{width}}  # {origin}" for text, origin in lines]
        blocks.append("\n".join((heading(table), *body)))
    return "\n\n".join(blocks) + "\n"


def notes(config: Config, environ: Mapping[str, str]) -> Iterator[str]:
    """What is right and still worth knowing: unsent parameters, keys that are not there.

    Raises:
        ConfigError: a model's name is none, or nobody registered its provider.
    """
    llm = config.llm
    users = {f"agents.{name}": agent for name, agent in config.agents.items()}
    for where, agent in users.items():
        models = [agent.model or llm.model, *agent.fallback]
        fields = {
            "temperature": agent.temperature if agent.temperature is not None else llm.temperature,
            "max_tokens": agent.max_tokens or llm.max_tokens,
            "stop": agent.stop or None,
            "seed": agent.seed,
            **agent.extra,
        }
        given = [name for name, value in fields.items() if value is not None]
        for model in dict.fromkeys(filter(None, models)):
            yield from _of_model(where, str(model), agent.base_url or llm.base_url, given)
    if not users and llm.model is not None:
        fields = {"temperature": llm.temperature, "max_tokens": llm.max_tokens}
        given = [name for name, value in fields.items() if value is not None]
        yield from _of_model("llm", llm.model, llm.base_url, given)
    yield from _of_keys(config, environ)
    yield from _of_tools(config)


def _of_model(where: str, model: str, base_url: str | None, given: list[str]) -> Iterator[str]:
    provider, colon, name = model.partition(":")
    if not colon or not name:
        raise ConfigError(f"{where}.model: write {model!r} as 'provider:model'")
    if provider == LOCAL:
        return
    try:
        provider_for(provider)
    except ConfigError as error:
        raise ConfigError(f"{where}.model: {error.message}") from error
    for field, whose in refusals(provider, name, base_url, given).items():
        yield f"{where}: {field} is not sent to {model} (refused by {whose})"


def _of_keys(config: Config, environ: Mapping[str, str]) -> Iterator[str]:
    keys = {"llm": config.llm.api_key}
    keys |= {f"agents.{name}": agent.api_key for name, agent in config.agents.items()}
    for where, key in keys.items():
        if isinstance(key, Secret):
            origin = config.origins.get(f"{where}.api_key", "")
            if origin not in ("code", "default") and not origin.startswith("environment"):
                yield f'{where}.api_key: the key itself is in the file; write "env:NAME" instead'
        elif key is not None and not environ.get(key.removeprefix("env:")):
            yield f"{where}.api_key: the environment variable {key.removeprefix('env:')} is not set"


def _of_tools(config: Config) -> Iterator[str]:
    """Tools whose results are not kept although `[tools.cache]` is enabled."""
    switch = config.tools.cache.switch
    for name, agent in config.agents.items() if switch is not None else ():
        for spec in specs_of(agent.tools):
            function = spec.function
            signature = (
                None if isinstance(function, FunctionRef) else Signature(function, spec.name)
            )
            caching = caching_of(spec, signature, switch)
            if caching is not None and caching.left_out is not None:
                yield f"agents.{name}: tool {spec.name} is not cached: {caching.left_out}"
