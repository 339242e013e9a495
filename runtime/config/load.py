"""Read a configuration: parse, merge, check, and report every problem at once.

Order: defaults < file < environment < code. The file is strict: an unknown key, a value of the
wrong type and a name that leads nowhere are errors, each with its line. A configuration that loads
is right in everything that can be known without running it; the modules of its functions have been
imported. Nothing but the file itself is read: the environment is a parameter.
"""

from __future__ import annotations

import pathlib
import re
import tomllib
from collections.abc import Mapping

from understudy.messages.agents import AgentSpec
from understudy.messages.budgets import Price
from understudy.messages.caches import CacheSpec
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef, load_function
from understudy.messages.limits import Limit
from understudy.messages.secrets import Secret
from understudy.runtime.config.check import GraphCheck, check_graphs, check_references
from understudy.runtime.config.environment import apply_code, apply_environment
from understudy.runtime.config.locate import Lines, locate
from understudy.runtime.config.problems import Problems, config_error
from understudy.runtime.config.read import SECTIONS, Values, build_table, read_document
from understudy.runtime.config.schema import (
    Config,
    LlmConfig,
    MemoryConfig,
    RuntimeConfig,
    StepConfig,
    StreamingConfig,
    ToolsConfig,
    WorkflowConfig,
)

MAX_SIZE = 1024 * 1024
"""Bytes of a configuration file."""

_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def load_config(
    source: str | pathlib.Path,
    environ: Mapping[str, str],
    *,
    overrides: Mapping[str, object] | None = None,
    check: GraphCheck | None = None,
) -> Config:
    """The configuration of a TOML file, merged and checked.

    Args:
        source: a path, or the text itself (`""` for the environment alone).
        environ: where `UNDERSTUDY_SECTION__KEY` variables are looked for.
        overrides: what code says, by key (`{"llm.model": "local:extractive"}`); durations in
            seconds, or text with a unit.
        check: judges the graph of each workflow; its sentences join the problems.

    Raises:
        ConfigError: `problems` has all of them, in the order of the file.
    """
    if isinstance(source, pathlib.Path):
        name, text = str(source), _read(source)
    else:
        name, text = "configuration", source
    document, lines = _parse(name, text)
    problems = Problems(name, lines)
    origins = {
        f"{section}.{field}": "default"
        for section, kind in SECTIONS.items()
        for field in kind.__struct_fields__
    }
    values = read_document(document, problems, origins)
    apply_environment(environ, values, problems, origins)
    apply_code(overrides or {}, values, problems, origins)
    check_references(values, problems)
    if check is not None:
        check_graphs(values, check, problems)
    problems.raise_any()
    return _assemble(values, origins)


def _read(path: pathlib.Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if isinstance(error, FileNotFoundError):
            reason += "; check the spelling"
        elif isinstance(error, IsADirectoryError):
            reason += "; name a file in it"
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    if len(data) > MAX_SIZE:
        raise ConfigError(f"{path}: a configuration has at most {MAX_SIZE} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise config_error(
            str(path), [f"line {line}: not UTF-8; save the file as UTF-8"]
        ) from error


def _parse(name: str, text: str) -> tuple[dict[str, object], Lines]:
    try:
        return tomllib.loads(text), locate(text)
    except tomllib.TOMLDecodeError as error:
        found = _LINE.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        what = re.sub(r" \(at .*\)$", "", str(error))
        raise config_error(name, [f"line {line}: not TOML: {what}"]) from error
    except RecursionError as error:
        raise ConfigError(f"{name}: arrays or tables nest too deeply") from error


def _assemble(values: dict[str, Values], origins: dict[str, str]) -> Config:
    for table in (values["llm"], *values["agents"].values()):
        key = table.get("api_key")
        if isinstance(key, str) and not key.startswith("env:"):
            table["api_key"] = Secret(key)
        if table.get("output") is not None:
            table["output"] = FunctionRef(table["output"])
    for table in values["agents"].values():
        table["tools"] = tuple(map(load_function, table.get("tools", ())))
        if table.get("cache") is not None:
            table["cache"] = CacheSpec(ttl=table["cache"])
    return Config(
        llm=build_table(LlmConfig, values["llm"]),
        runtime=build_table(RuntimeConfig, values["runtime"]),
        tools=build_table(ToolsConfig, values["tools"]),
        streaming=build_table(StreamingConfig, values["streaming"]),
        memory=build_table(MemoryConfig, values["memory"]),
        limits={name: Limit(**limit) for name, limit in values["limits"].items()},
        prices={name: Price(**price) for name, price in values["prices"].items()},
        agents={name: AgentSpec(name=name, **agent) for name, agent in values["agents"].items()},
        workflows={
            name: build_table(
                WorkflowConfig,
                {
                    **workflow,
                    "steps": tuple(build_table(StepConfig, step) for step in workflow["steps"]),
                },
            )
            for name, workflow in values["workflows"].items()
        },
        origins=origins,
    )
