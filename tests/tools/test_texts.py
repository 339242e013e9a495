import codecs
import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.tools.docstrings import docstrings_of
from understudy.tools.texts import MAX_BYTES, MAX_PYTHON_BYTES, READERS, UnreadableError, text_of
from understudy.tools.webpages import MAX_TAG, tame, text_of_page

PYTHON = b'''#!/usr/bin/python
"""The module.

It does things.
"""

class A:
    """A class."""

    async def run(self):
        """Run \\d it.

        Args:
            city: where
                it is
            unit: which

        Use it so.
        """

def b(): "B."
'''


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("née".encode(), "née"),
        ("née".encode("utf-8-sig"), "née"),
        ("née".encode("utf-16"), "née"),
        (codecs.BOM_UTF16_BE + "née".encode("utf-16-be"), "née"),
        ("née".encode("utf-32"), "née"),
        (b"a\r\nb", "a\r\nb"),
    ],
)
def test_encodings(data: bytes, text: str) -> None:
    """A byte order mark decides, else it is UTF-8; line ends stay what they are."""
    assert text_of(data, ".txt") == text


@pytest.mark.parametrize(
    ("data", "suffix", "reason"),
    [
        (b"", ".txt", "the file is empty"),
        (b" \n\t", ".md", "there is no text in it"),
        (b"---\na: b\n---\n", ".md", "there is no text in it"),
        (b"ab\0c", ".txt", "zero byte at offset 2"),
        (b"caf\xe9 au lait", ".md", "not UTF-8: byte 0xe9 at offset 3"),
        (codecs.BOM_UTF16_LE + b"a", ".txt", "not UTF-16: byte 0x61 at offset 2"),
        (b"x" * (MAX_BYTES + 1), ".txt", "10,000,001 bytes, the limit is 10,000,000"),
        (b"#" * (MAX_PYTHON_BYTES + 1), ".py", "400,001 bytes, the limit is 400,000"),
        (b"x = 1", ".py", "there are no docstrings in it"),
        (b'"""Doc."""\ndef f(:', ".py", "line 2 is not valid Python"),
        (b"(" * 500 + b")" * 500, ".py", "not valid Python"),
        (b"-" * 100_000 + b"1", ".py", "line 1 is not valid Python: it is nested too deeply"),
        (b"x = " + b"1" * 10_000, ".py", "not valid Python"),
        (b"<script>alert(1)</script>", ".html", "there is no visible text in it"),
    ],
)
def test_what_cannot_be_read_says_why_and_what_to_do(data: bytes, suffix: str, reason: str) -> None:
    """Each way to be unreadable is named with its place, and has a remedy."""
    with pytest.raises(UnreadableError) as caught:
        text_of(data, suffix)
    assert reason in caught.value.reason
    assert caught.value.remedy


@given(st.binary(min_size=1, max_size=200), st.sampled_from(sorted(READERS)))
def test_any_bytes_give_text_or_a_reason(data: bytes, suffix: str) -> None:
    """No bytes lead to any other exception, or to text that cannot be encoded."""
    with contextlib.suppress(UnreadableError):
        assert text_of(data, suffix).encode().strip()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("---\ntitle: A\ntags:\n  - b\n---\nText.", "Text."),
        ("---\r\n# note\r\n\r\ntitle: A\r\n...\r\nText.", "Text."),
        ('+++\ntitle = "A"\n[x]\ny = 1\n+++\nText.', "Text."),
        ("---\nA line\n---\nText.", "---\nA line\n---\nText."),
        ("---\ntitle: never closed\n\nText.", "---\ntitle: never closed\n\nText."),
        ("Text.\n---\na: b\n---\n", "Text.\n---\na: b\n---\n"),
    ],
)
def test_front_matter_is_dropped(text: str, kept: str) -> None:
    """What stands between fences at the very top, and looks like keys, is not text."""
    assert text_of(text.encode(), ".md") == kept
    assert text_of(text.encode(), ".txt") == text


def test_docstrings_of_a_module() -> None:
    """Module, classes and functions in order; the entries of a section become a list."""
    assert text_of(PYTHON, ".py") == (
        "The module.\n\nIt does things.\n\n## A\n\nA class.\n\n## A.run\n\nRun \\d it.\n\n"
        "### Args:\n\n- city: where\n        it is\n- unit: which\n\nUse it so.\n\n## b\n\nB."
    )


def test_a_coding_line_decides_in_python() -> None:
    """A Python file may say its encoding; a page or note may not."""
    source = '# -*- coding: latin-1 -*-\n"""Café."""'.encode("latin-1")
    assert text_of(source, ".py") == "Café."
    assert docstrings_of('"""Café."""') == "Café."
    with pytest.raises(UnreadableError):
        text_of(source, ".md")


def test_a_page_becomes_markdown() -> None:
    """What a browser shows, with headings, items, rows and code; what it hides is dropped."""
    page = """<!doctype html><html><head><title>T &amp; U</title><style>p{}</style></head><body>
    <!-- hidden <p>comment</p> --><h2>Head</h2><p>One <b>bold</b>&nbsp;word.<br/>Next line.
    <script>if (a < b) { document.write("<p>x</p>") }</script></p>
    <ul><li>first<li>second</ul><table><tr><td>a</td><td>b</td></tr></table>
    <pre>
def f():
    pass
</pre><svg><text>no</text></svg>1 < 2 &lt;tag&gt;</body></html>"""
    assert text_of_page(page) == (
        "# T & U\n\n## Head\n\nOne bold word. Next line.\n\n- first\n\n- second\n\n| a | b\n\n"
        "```\ndef f():\n    pass\n```\n\n1 < 2 <tag>"
    )


@pytest.mark.parametrize(
    "unit",
    [
        "<!--",
        "<!-- >",
        "<!<!---->-- >",
        "<a ",
        '<a b="',
        "<![CDATA[ >",
        "<!<![x]>[ >",
        "<?",
        "</x ",
    ],
)
def test_nothing_is_left_on_which_the_parser_is_quadratic(unit: str) -> None:
    """No comment or marked section is left, and each tag ends soon: no search goes far in vain."""
    page = tame(unit * 2_000 + "text")
    assert "<!--" not in page
    assert "<![" not in page
    for tag in re.finditer("<", page):
        assert 0 < page.find(">", tag.start()) - tag.start() <= MAX_TAG
