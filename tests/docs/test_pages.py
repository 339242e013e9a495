"""What the pages promise to be complete about, is."""

import re
from pathlib import Path

import pytest

from understudy.messages.errors import ERRORS
from understudy.runtime.config.load import load_config
from understudy.runtime.graph import check_workflow

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOML = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL))
]


def test_every_error_has_a_remedy() -> None:
    """troubleshooting.md has a row for each error by name, but those that only have children."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)`[^|]*\|[^|]+\|[^|]+\|$", page, re.MULTILINE))
    assert rows == set(ERRORS) - {"UnderstudyError", "ModelError"}


@pytest.mark.parametrize("block", TOML)
def test_configurations_load(block: str) -> None:
    """Every TOML block of the documents is a configuration that is accepted as it stands."""
    load_config(block, {}, check=check_workflow)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Links to files of this project name files that are there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_the_table_of_the_readme_leads_to_every_page() -> None:
    """Nobody finds a page that nothing names."""
    readme = (ROOT / "README.md").read_text()
    unnamed = [page.name for page in PAGES[1:] if f"docs/{page.name}" not in readme]
    assert not unnamed
