"""Every command of the documents is one that the command line takes."""

import re
import shlex
from pathlib import Path

import click
import pytest

from understudy.runtime.edge.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINES = [
    pytest.param(line, id=f"{page.name}-{number}")
    for page in PAGES
    for number, line in enumerate(
        line
        for block in re.findall(r"```(?:sh|console|bash)\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
        if re.search(r"(^|[\s|])understudy [a-z]", line.partition("#")[0])
    )
]


@pytest.mark.parametrize("line", LINES)
def test_it_is_taken(line: str) -> None:
    """The command exists, and so do its options; nothing is run."""
    words = shlex.split(line, comments=True)
    words = words[words.index("understudy") + 1 :]
    ends = [index for index, word in enumerate(words) if word in ("|", ">", "||", "&&", "&", ";")]
    name, *arguments = words[: min(ends, default=len(words))]
    context = click.Context(app, info_name="understudy")
    app.commands[name].make_context(name, arguments, parent=context)


def test_there_are_some() -> None:
    """The search finds what it is for."""
    assert len(LINES) > 15
