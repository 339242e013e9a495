"""The help of every command, word for word."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from understudy.runtime.edge.cli.app import app

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = [(), *((name,) for name in app.commands)]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_what_was_agreed(cli: "Cli", command: tuple[str, ...]) -> None:
    """As in `golden/`; it leads with commands that work as they stand."""
    done = cli.run(*command, "--help", env={"COLUMNS": "80"})
    assert done.returncode == 0
    assert done.stdout.decode() == (GOLDEN / ("-".join((*command, "help")) + ".txt")).read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_come_before_options(command: tuple[str, ...]) -> None:
    """Whoever asks for help wants to see how it is typed."""
    text = (GOLDEN / ("-".join((*command, "help")) + ".txt")).read_text()
    assert text.index("Examples:") < text.index("Options:")
    assert f"understudy {' '.join(command)}" in text[text.index("Examples:") :]


def test_no_golden_file_is_left_over() -> None:
    """Each belongs to a command."""
    wanted = {"-".join((*command, "help")) for command in COMMANDS}
    assert {path.stem for path in GOLDEN.glob("*-help.txt")} | {"help"} == wanted


def test_a_shell_can_complete_commands(cli: "Cli") -> None:
    """Of those that begin so; nothing else is said."""
    asked = {
        "_UNDERSTUDY_COMPLETE": "bash_complete",
        "COMP_WORDS": "understudy lo",
        "COMP_CWORD": "1",
    }
    done = cli.run(env=asked)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [b"plain,loadtest"], b"")
