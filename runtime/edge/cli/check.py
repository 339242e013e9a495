"""`understudy check`: a configuration read as a runtime would read it, and explained."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from understudy.messages.codec import encode_json
from understudy.messages.secrets import Secret
from understudy.runtime.config.explain import merged, notes
from understudy.runtime.config.json_schema import json_schema
from understudy.runtime.config.load import load_config
from understudy.runtime.config.settings import settings_of
from understudy.runtime.edge.cli import EXIT_FAILED
from understudy.runtime.edge.cli.output import write
from understudy.runtime.graph import check_workflow


def check(file: Path, *, as_json: bool) -> int:
    """Print what is in force and from where; the exit code.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    config = load_config(file, os.environ, check=check_workflow)
    said = list(notes(config, os.environ))
    if as_json:
        settings = {
            key: {"value": _plain(value), "origin": config.origins.get(key, "default")}
            for key, value in settings_of(config).items()
        }
        wrong = write(encode_json({"settings": settings, "notes": said}) + b"\n")
    else:
        wrong = write(merged(config).encode())
        for note in said:
            sys.stderr.write(f"note: {note}\n")
    if wrong:
        sys.stderr.write(f"understudy: {wrong}\n")
    return EXIT_FAILED if wrong else 0


def print_schema() -> int:
    """Print the JSON Schema of the file; the exit code."""
    import json

    wrong = write(json.dumps(json_schema(), indent=2).encode() + b"\n")
    if wrong:
        sys.stderr.write(f"understudy: {wrong}\n")
    return EXIT_FAILED if wrong else 0


def _plain(value: object) -> object:
    """A value that encodes: secrets as stars, durations in seconds, import paths as texts."""
    if isinstance(value, Secret):
        return str(value)
    return float(value) if isinstance(value, float) else getattr(value, "path", value)
