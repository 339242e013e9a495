"""Which file, and which workflow of it, is meant."""

from __future__ import annotations

import os
from pathlib import Path

from understudy.messages.errors import ConfigError
from understudy.runtime.config.load import load_config
from understudy.runtime.config.schema import Config
from understudy.runtime.graph import check_workflow


def loaded(flow: Path) -> Config:
    """The configuration of a file; who names a document first is told what comes first.

    Raises:
        ConfigError: everything that is wrong with the file.
    """
    try:
        return load_config(flow, os.environ, check=check_workflow)
    except ConfigError as error:
        if flow.suffix.lower() == ".toml" or not flow.is_file():
            raise
        msg = f"{error}\n  FLOW comes first: a TOML file with workflows; what they read comes after"
        raise ConfigError(msg, problems=error.problems) from error


def chosen(config: Config, flow: Path, workflow: str | None) -> str:
    """The workflow that is meant: named, or called as the file, or the only one.

    Raises:
        ConfigError: there are several, and none is named.
    """
    names = list(config.workflows)
    if workflow is not None:
        return workflow
    if flow.stem in names:
        return flow.stem
    nested = {step.workflow for each in config.workflows.values() for step in each.steps}
    tops = [name for name in names if name not in nested]
    if len(tops) == 1:
        return tops[0]
    if not names:
        raise ConfigError(f"{flow}: there is no workflow in it; write [workflows.NAME]")
    known = ", ".join(tops or names)
    msg = f"{flow}: which workflow? Name one with --workflow: {known}"
    raise ConfigError(msg)
