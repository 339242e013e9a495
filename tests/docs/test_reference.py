"""The reference is what the docstrings say."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_is_written_from_the_docstrings() -> None:
    """`make docs` would change nothing, so the page in the repository is of this code."""
    done = subprocess.run([sys.executable, DOCS / "write_reference.py", "--check"], check=False)
    assert done.returncode == 0, "run make docs"


def test_every_public_name_has_words() -> None:
    """Each entry of the package has a docstring below its signature, or is a plain value."""
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    entries = text.partition("## understudy.testing")[0].split("\n### ")[1:]
    bare = [each.split("\n", 1)[0] for each in entries if each.count("```text") < 2]
    assert len(entries) > 100
    assert set(bare) <= {"AnyChunk", "Message"}, bare
