"""Files that one reads in one go: code and tests alike."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("messages", "actors", "runtime", "src", "tests", "demos", "benchmarks")
MOST = 400


def lines(path: Path) -> int:
    """How many lines a file has."""
    return len(path.read_bytes().splitlines())


def too_long(root: Path) -> dict[str, int]:
    """The Python files below `root` that have too many lines, and how many those are."""
    found = [path for folder in FOLDERS for path in (root / folder).rglob("*.py")]
    assert len(found) > 1
    return {path.relative_to(root).as_posix(): lines(path) for path in found if lines(path) > MOST}


def test_no_file_has_more_than_400_lines() -> None:
    """A longer one holds more than one subject: split it, by names that say which."""
    assert not too_long(ROOT)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_longer_file_is_found(tmp_path: Path, folder: str) -> None:
    """In every folder that has code, however deep."""
    for name, count in (("short.py", MOST), ("long.py", MOST + 1), ("deep/er.py", MOST + 9)):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n" * count)
    assert too_long(tmp_path) == {f"{folder}/long.py": 401, f"{folder}/deep/er.py": 409}
