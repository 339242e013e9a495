"""What a user gets: from the sources to an sdist, to a wheel, to an import somewhere else.

Nothing is downloaded. The build runs without isolation, and the fresh environment sees the
packages of this one through a ``.pth`` file, all but the ones that a test leaves out.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINKED = ("messages", "actors", "runtime")
# No PYTHONPATH, and no user site: only what the fresh environment itself holds.
ENV = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is in the answer, whatever the exit code."""
    return subprocess.run(command, cwd=cwd, env=ENV, capture_output=True, text=True, check=False)


def done(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed; give what it printed."""
    result = run(*command, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def modules() -> set[str]:
    """Every module of the package, as its path in the wheel, read from the real folders."""
    folders = {f"understudy/{name}": ROOT / name for name in LINKED}
    own = ROOT / "src" / "understudy"
    found = {f"understudy/{path.name}" for path in own.glob("*.py")}
    for path in own.iterdir():
        if path.is_dir() and not path.is_symlink():
            folders[f"understudy/{path.name}"] = path
    for prefix, folder in folders.items():
        found |= {f"{prefix}/{p.relative_to(folder).as_posix()}" for p in folder.rglob("*.py")}
    return found


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist from a copy, so that the build leaves nothing behind here."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(
        ROOT / "src",
        tree / "src",
        symlinks=True,
        ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
    )
    for name in LINKED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    done(sys.executable, "-m", "build", "--no-isolation", "--sdist", ".", cwd=tree)
    (archive,) = (tree / "dist").iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the unpacked sdist, as an installer would."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:  # early releases of 3.11; the archive is our own
            archive.extractall(folder)
    (source,) = folder.iterdir()
    done(sys.executable, "-m", "build", "--no-isolation", "--wheel", ".", cwd=source)
    (built,) = (source / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a fresh environment without the ``cli`` extra; give its ``bin``."""
    venv = tmp_path_factory.mktemp("fresh") / "venv"
    done(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv.parent)
    scheme = {"base": str(venv), "platbase": str(venv)}
    site = Path(sysconfig.get_path("purelib", "venv", scheme))
    binaries = Path(sysconfig.get_path("scripts", "venv", scheme))
    python = binaries / "python"
    done(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-index"),
        *("--no-deps", "--disable-pip-version-check", wheel),
        cwd=venv.parent,
    )
    # A folder of links, not the outer site-packages itself: that one holds the extras, and the
    # editable install of this very package.
    needed = venv / "needed"
    needed.mkdir()
    outer = Path(sysconfig.get_path("purelib"))
    hidden = re.compile(r"(understudy|__editable__|click|rich|_|distutils)", re.IGNORECASE)
    for path in outer.iterdir():
        if not hidden.match(path.name) and path.suffix != ".pth":
            (needed / path.name).symlink_to(path)
    (site / "needed.pth").write_text(f"{needed}\n")
    return binaries


def test_sdist_holds_every_module_once(sdist: Path) -> None:
    """The sdist has real files where the sources have links."""
    with tarfile.open(sdist) as archive:
        members = {m.name.split("/", 1)[-1]: m for m in archive.getmembers()}
    held = {name for name in members if name.endswith(".py") and name.startswith("src/")}
    assert held == {f"src/{name}" for name in modules()}
    assert all(members[name].isfile() for name in held)


def test_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    """The wheel has one top-level package, every module, and the mark that it is typed."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert files == modules() | {"understudy/py.typed"}


def test_import_from_another_folder(installed: Path, tmp_path: Path) -> None:
    """A program with a ``messages.py`` of its own imports understudy, linked folders and all."""
    (tmp_path / "messages.py").write_text("MINE = True\n")
    names = sorted(
        name.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
        for name in modules()
        if "/edge/" not in name and "/testing/" not in name
    )
    program = f"import messages, {', '.join(names)}\nprint(messages.MINE, understudy.__file__)"
    printed = done(installed / "python", "-c", program, cwd=tmp_path)
    assert printed.split() == ["True", str(next(installed.parent.rglob("understudy/__init__.py")))]


def test_version_without_the_cli_extra(installed: Path, tmp_path: Path) -> None:
    """A plain install answers ``--version`` with the version of pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert done(installed / "understudy", "--version", cwd=tmp_path) == f"understudy {version}\n"
    assert done(installed / "python", "-m", "understudy", "-V", cwd=tmp_path) == (
        f"understudy {version}\n"
    )


def test_missing_cli_extra_is_named(installed: Path, tmp_path: Path) -> None:
    """Any other command of a plain install says what to install, on stderr, and exits 2."""
    result = run(installed / "understudy", "run", "flow.toml", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "pip install understudy[cli]" in result.stderr


@pytest.mark.parametrize("name", LINKED)
def test_bare_import_is_refused(name: str) -> None:
    """A folder imported under its bare name raises an error that says what to write."""
    result = run(sys.executable, "-c", f"import {name}", cwd=ROOT)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert f"write 'from understudy.{name} import ...'" in last


def test_import_is_light(tmp_path: Path) -> None:
    """``import understudy`` brings pykka and msgspec and nothing else, and starts no thread."""
    program = (
        "import sys, threading; before = set(sys.modules); import understudy\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(threading.active_count(), *sorted(new - sys.stdlib_module_names))"
    )
    threads, *packages = done(sys.executable, "-c", program, cwd=tmp_path).split()
    assert threads == "1"
    assert set(packages) <= {"understudy", "pykka", "msgspec", "typing_extensions"}


def test_pins_hold_what_is_needed_and_name_no_host() -> None:
    """Each requirement of the package and its extras is pinned by hash, wherever it is from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    pins = (ROOT / "requirements" / "pins.txt").read_text()
    assert "//" not in pins
    assert "--index" not in pins
    pinned = re.compile(
        r"^([a-z0-9-]+)==\S+(?: ;[^\\\n]*)?(?: \\\n    --hash=sha256:\w{64})+$", re.MULTILINE
    )
    names = set(pinned.findall(pins))
    assert len(names) == len(re.findall(r"^\w", pins, re.MULTILINE))
    assert {re.split(r"[^\w-]", requirement)[0] for requirement in wanted} <= names
