"""`understudy graph`: a workflow of a file as a picture, in text; nothing of it is run."""

from __future__ import annotations

import sys
from pathlib import Path

from understudy.runtime.config.build import build_workflow
from understudy.runtime.drawing import dot, mermaid
from understudy.runtime.edge.cli import EXIT_FAILED
from understudy.runtime.edge.cli.choosing import chosen, loaded
from understudy.runtime.edge.cli.output import write


def draw(flow: Path, workflow: str | None, *, as_dot: bool) -> int:
    """Print the picture.

    Raises:
        ConfigError: the file is wrong, or has no such workflow.
    """
    config = loaded(flow)
    spec = build_workflow(config, chosen(config, flow, workflow))
    picture = dot(spec) if as_dot else mermaid(spec)
    wrong = write(f"{picture}\n".encode())
    if wrong:
        sys.stderr.write(f"understudy: {wrong}\n")
        return EXIT_FAILED
    return 0
