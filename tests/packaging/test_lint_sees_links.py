"""``make lint`` and ``make type`` see the linked folders, and each import contract can go red.

Each test plants one mistake in a copy. A tool that stopped following the links, or a contract that
names the wrong modules, would be silent for ever; here it is a failing test.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
LINKED = ("messages", "actors", "runtime")
CONFIGURATION = ("pyproject.toml", "Makefile", "README.md")


def failing(*command: str | Path, tree: Path) -> str:
    """Run a command in a copy; it must fail. Give its output."""
    result = subprocess.run(
        command,
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "src"), "NO_COLOR": "1", "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    output = result.stdout + result.stderr
    assert result.returncode != 0, output
    return output


def make(target: str, tree: Path) -> str:
    """Run the recipe of a target in a copy, with the tools of this environment; it must fail."""
    return failing("make", target, f"BIN={TOOLS}", "READY=", tree=tree)


def plant(tree: Path, path: str, source: str) -> None:
    """Write a module, and the packages above it that do not exist."""
    file = tree / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if not (file.parent / "__init__.py").exists():
        (file.parent / "__init__.py").touch()
    file.write_text(source)


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """Copy folders and links, and next to nothing in them: type checkers read all they see."""
    package = tmp_path / "src" / "understudy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""A facade."""\n')
    (package / "testing").mkdir()
    (package / "testing" / "__init__.py").write_text('"""A kit."""\n')
    for name in LINKED:
        (package / name).symlink_to((ROOT / "src" / "understudy" / name).readlink())
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / name / "__init__.py", tmp_path / name)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_nothing.py").touch()
    for name in CONFIGURATION:
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy all the sources: import contracts speak of modules that must exist."""
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", tmp_path / "src", symlinks=True, ignore=junk)
    for name in LINKED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=junk)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("folder", LINKED)
def test_ruff_sees_the_real_folder(skeleton: Path, folder: str) -> None:
    """An unused import in a linked folder fails ``make lint``."""
    plant(skeleton, f"{folder}/planted.py", '"""Planted."""\n\nimport json\n')
    output = make("lint", skeleton)
    assert "F401" in output
    assert f"{folder}/planted.py" in output


def test_ruff_refuses_the_bare_name(skeleton: Path) -> None:
    """An import by the bare name of a folder fails ``make lint``, which says what to write."""
    source = '"""Planted."""\n\nfrom messages import chat\n\n__all__ = ["chat"]\n'
    plant(skeleton, "runtime/planted.py", source)
    assert "say understudy.messages" in make("lint", skeleton)


def test_mypy_sees_through_the_links(skeleton: Path) -> None:
    """A wrong type in each linked folder fails ``make type``."""
    for folder in LINKED:
        plant(skeleton, f"{folder}/planted.py", '"""Planted."""\n\nNUMBER: int = "text"\n')
    output = make("type", skeleton)
    for folder in LINKED:
        assert f"src/understudy/{folder}/planted.py:3: error: Incompatible types" in output


def test_basedpyright_sees_through_the_links(skeleton: Path) -> None:
    """A private name that the facade takes from a linked folder fails ``make type``.

    mypy, which runs first, has no such rule; and the rule needs the import to be resolved.
    """
    plant(skeleton, "messages/planted.py", '"""Planted."""\n\n_HIDDEN: int = 1\n')
    facade = '"""Planted."""\n\nfrom understudy.messages.planted import _HIDDEN as SHOWN\n'
    plant(skeleton, "src/understudy/__init__.py", facade)
    output = make("type", skeleton)
    assert "reportPrivateUsage" in output
    assert "src/understudy/__init__.py:3" in output


# The contract that goes red, the module that is planted, what it imports.
VIOLATIONS = [
    ("folders", "messages/planted.py", "understudy.actors"),
    ("folders", "actors/kernel/planted.py", "understudy.runtime"),
    ("runtime", "runtime/config.py", "understudy.runtime.edge"),
    ("runtime", "runtime/unnamed.py", "understudy.messages"),
    ("actors", "actors/kernel/planted.py", "understudy.actors.models"),
    ("actors", "actors/rules/planted.py", "understudy.actors.kernel"),
    ("actors", "actors/tools/planted.py", "understudy.actors.models"),
    ("actors", "actors/unnamed.py", "understudy.messages"),
    ("messages", "messages/planted.py", "httpx"),
    ("pure", "actors/rules/planted.py", "time"),
    ("pure", "runtime/plan.py", "threading"),
    ("pure", "runtime/strategy.py", "pykka"),
    ("edge", "src/understudy/testing/planted.py", "understudy.runtime.edge"),
]


@pytest.mark.parametrize(("contract", "path", "imported"), VIOLATIONS)
def test_a_contract_goes_red(tree: Path, contract: str, path: str, imported: str) -> None:
    """An import in the wrong direction, or a module with no place, breaks its contract."""
    if imported.startswith("understudy."):
        folder = imported.removeprefix("understudy.").replace(".", "/")
        plant(tree, f"{folder}/planted_too.py", "")
    plant(tree, path, f"import {imported}\n")
    lines = failing(TOOLS / "lint-imports", tree=tree).splitlines()
    assert [line for line in lines if line.startswith(f"{contract}: ") and "BROKEN" in line]


def test_every_contract_was_seen_red() -> None:
    """No contract of pyproject.toml is without a violation above."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {c["name"] for c in configuration["tool"]["importlinter"]["contracts"]}
    assert {name.partition(": ")[0] for name in names} == {contract for contract, *_ in VIOLATIONS}
