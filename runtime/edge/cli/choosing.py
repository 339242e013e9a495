"""Which workflow of a file is meant."""

from __future__ import annotations

from pathlib import Path

from understudy.messages.errors import ConfigError
from understudy.runtime.config.schema import Config


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
    known = ", ".join(tops or names) or "none"
    msg = f"{flow}: which workflow? Name one with --workflow: {known}"
    raise ConfigError(msg)
