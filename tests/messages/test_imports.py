"""The folder `messages` stands alone."""

import ast
import sys
from pathlib import Path

import understudy.messages

FOLDER = Path(understudy.messages.__file__).parent


def imported(path: Path) -> set[str]:
    """Every module that a file imports anywhere, by its full name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            found.add(node.module or "")
    return found


def test_messages_import_msgspec_and_the_standard_library_only() -> None:
    """No file of the folder reaches for anything above it or beside it."""
    files = list(FOLDER.glob("**/*.py"))
    assert len(files) > 10
    for path in files:
        for name in imported(path):
            top = name.partition(".")[0]
            allowed = top in {"msgspec", *sys.stdlib_module_names}
            assert allowed or name.startswith("understudy.messages"), f"{path.name}: {name}"
