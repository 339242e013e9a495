"""Every heading of the guide has a demo that runs, offline; the page is made of what they say."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
DEMOS = ROOT / "demos"
NOT_DEMOS = {"claim", "report", "daemon"}
SCRIPTS = sorted(path.stem for path in DEMOS.glob("*.py") if path.stem not in NOT_DEMOS)
VERDICTS = {"holds", "in part", "does not hold", "not judged", "no figure"}
BLOCKED = """
import runpy, sys
from understudy.testing import block_network
sys.path.insert(0, {demos!r})
sys.argv = sys.argv[1:]
with block_network():
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(script: str, *options: str, folder: Path = DEMOS) -> subprocess.CompletedProcess[str]:
    """As a user would, with warnings as errors, no key in the environment, and no way out."""
    command = [sys.executable, "-W", "error", "-c", BLOCKED.format(demos=str(DEMOS))]
    keys = {name: "" for name in os.environ if name.endswith("_API_KEY")}
    return subprocess.run(
        [*command, str(folder / f"{script}.py"), *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | keys,
    )


@pytest.fixture(scope="module")
def report() -> ModuleType:
    """The script that writes the page, as a module; it imports `claim` from beside it."""
    sys.path.insert(0, str(DEMOS))
    try:
        spec = importlib.util.spec_from_file_location("report", DEMOS / "report.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DEMOS))
    return module


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_runs(script: str) -> None:
    """Quickly, and says what was claimed, what was measured, the verdict, and how."""
    done = run(script, "--quick", "--json")
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout, type=list[dict[str, str]])
    assert found
    for claim in found:
        assert claim["verdict"] in VERDICTS
        assert all(claim[field].strip() for field in ("claimed", "measured", "how"))


def test_a_demo_that_reached_for_a_provider_would_fail(tmp_path: Path) -> None:
    """They are offline because nothing else is possible here."""
    ask = "from understudy import Agent\nAgent('openai:m', api_key='k', retries=0).run('Hello')"
    (tmp_path / "online.py").write_text(ask)
    done = run("online", folder=tmp_path)
    assert done.returncode != 0
    assert "the network is blocked" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_is_short(script: str) -> None:
    """Below 80 lines, and shares nothing but `claim` with the others."""
    source = (DEMOS / f"{script}.py").read_text()
    assert len(source.splitlines()) < 80
    imported = {
        node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)
    }
    assert not imported & ({*SCRIPTS} | NOT_DEMOS - {"claim"})


def test_another_model_takes_the_place_of_the_fake() -> None:
    """`--model` is asked instead: this one quotes the prompt, the fake would not."""
    done = run("concurrent_agents", "--quick", "--json", "--model", "no-such-provider:m")
    assert done.returncode != 0
    assert "no-such-provider" in done.stderr
    done = run("concurrent_agents", "--quick", "--model", "local:extractive")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Concurrent Agents\n  claimed ")
    assert "local:extractive was asked instead of a fake" in done.stdout


def test_a_demo_that_asks_no_model_says_so() -> None:
    """A switch that does nothing is no secret."""
    done = run("lazy_tools", "--quick", "--model", "local:extractive")
    assert done.returncode == 0, done.stderr
    assert "--model changes nothing" in done.stderr
    assert "was asked" not in done.stdout


def test_every_demo_belongs_to_a_heading(report: ModuleType) -> None:
    """The page leaves out no script, and each heading has its own."""
    named = [demo for headings in report.SECTIONS.values() for demo in headings.values()]
    assert len(named) == len(set(named)) == 31
    assert set(SCRIPTS) <= set(named)


def test_the_page_says_what_is_missing(report: ModuleType) -> None:
    """A heading without claims is named as such; bars in texts do not break the table."""
    assert report.rows("Early Exit", "early_exit", []) == [
        "| Early Exit | | not yet demonstrated | | |"
    ]
    found = report.Claim(claimed="a|b", measured="1", verdict="holds", how="so")
    (line,) = report.rows("Buffers", "buffers", [found])
    assert line == r"| [Buffers](../demos/buffers.py) | a\|b | 1 | **holds** | so |"


def test_the_summary_is_what_was_found(report: ModuleType) -> None:
    """A principle has the verdicts of the headings it sums up, each of which there is."""
    known = {heading for headings in report.SECTIONS.values() for heading in headings}
    assert {each for where in report.SUMMARY.values() for each in where} <= known
    found: dict[str, list[object]] = {heading: [] for heading in known}
    found["Model Selection"] = [
        report.Claim(claimed="c", measured="m", verdict=verdict, how="h")
        for verdict in ("holds", "not judged")
    ]
    lines = report.principles(found)
    (line,) = [each for each in lines if "Choose right models" in each]
    assert line.endswith("| Model Selection | **holds**, **not judged** |")
    assert sum("not yet demonstrated" in each for each in lines) == len(report.SUMMARY) - 1


def test_a_failing_demo_fails_the_report(
    report: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A page with holes would look like a result."""
    (tmp_path / "broken.py").write_text("raise SystemExit('no')")
    monkeypatch.setattr(report, "HERE", tmp_path)
    with pytest.raises(SystemExit, match=r"demos/broken.py failed"):
        report.run("broken", [])


def test_the_page_is_of_these_demos(report: ModuleType) -> None:
    """docs/claims.md names every heading, and links every script that there is."""
    page = (ROOT / "docs" / "claims.md").read_text()
    for headings in report.SECTIONS.values():
        for heading, demo in headings.items():
            link = f"[{heading}](../demos/{demo}.py)"
            assert link in page if demo in SCRIPTS else f"| {heading} |" in page
