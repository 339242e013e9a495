"""Configuration: strict TOML, the environment and code, merged into one frozen `Config`.

`load_config` reads and checks everything and reports every problem at once; `build_workflow` turns
a workflow of the file into the same spec that code would build.
"""

from understudy.runtime.config.build import build_workflow
from understudy.runtime.config.durations import parse_duration
from understudy.runtime.config.load import load_config
from understudy.runtime.config.schema import (
    Config,
    LlmConfig,
    RuntimeConfig,
    StepConfig,
    WorkflowConfig,
)

__all__ = [
    "Config",
    "LlmConfig",
    "RuntimeConfig",
    "StepConfig",
    "WorkflowConfig",
    "build_workflow",
    "load_config",
    "parse_duration",
]
