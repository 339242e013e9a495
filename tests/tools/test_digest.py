import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from understudy.tools.digest import path_of, quoted, write_digest
from understudy.tools.documents import Document, Found, Problem

HARMLESS = {"text", "code_inline", "text_special", "em_open", "em_close", "strong_open"}
HARMLESS |= {"strong_close", "softbreak"}
HOSTILE = st.text(
    st.sampled_from(list("ab1 .)#>-+*_=~|`<[](){}!&;:\\/\n\t\x00\u2028")), max_size=40
)


def document(path: str, size: int = 10) -> Document:
    """A document as `find_documents` gives it."""
    return Document(path=path, folder=path.rpartition("/")[0] or ".", size=size)


def tokens(page: str) -> list[Token]:
    """What a Markdown reader makes of a page."""
    return MarkdownIt("commonmark").parse(page)


def test_a_digest_of_some_documents() -> None:
    """Counts, an overview, a section a folder and document, and what is missing."""
    found = Found(
        documents=(document("docs/a.md"), document("docs/b.md"), document("c.txt", 1_500)),
        problems=(Problem(path="gone", reason="there is no such file", remedy="check it"),),
    )
    known = Problem(path="docs/b.md", reason="it is not UTF-8", remedy="convert it")
    page = write_digest(found, ["One fox.\nTwo foxes ran.", None, "A dog."], [known], title="D")
    assert page == (
        "# D\n\n## Overview\n\n2 documents in 2 folders, 1,510 bytes; 2 not digested.\n\n"
        "> One fox. (`docs/a.md`)\n>\n> Two foxes ran. (`docs/a.md`)\n>\n> A dog. (`c.txt`)\n\n"
        "- `docs`, 1 document: One fox. (`a.md`)\n- `.`, 1 document: A dog. (`c.txt`)\n\n"
        "## `docs`\n\n### `docs/a.md`\n\n> One fox.\n>\n> Two foxes ran.\n\n"
        "## `.`\n\n### `c.txt`\n\n> A dog.\n\n"
        "## Not digested\n\n- `gone`: there is no such file; check it\n"
        "- `docs/b.md`: it is not UTF-8; convert it\n"
    )


def test_nothing_found_is_a_digest_too() -> None:
    """Without a document there are the counts and the problems."""
    problem = Problem(path="", reason="no paths were given", remedy="name some")
    page = write_digest(Found(documents=(), problems=(problem,)), [])
    assert "0 documents in 0 folders, 0 bytes; 1 not digested." in page
    assert page.endswith("- no path: no paths were given; name some\n")


@pytest.mark.parametrize("summary", [None, "", " \n "])
def test_a_document_without_a_summary_is_listed(summary: str | None) -> None:
    """A step that failed, or gave nothing, shows its path and where to look."""
    page = write_digest(Found(documents=(document("a.md"),), problems=()), [summary])
    assert "- `a.md`: its step failed; see the step's error" in page
    assert "### `a.md`" not in page


def test_summaries_that_do_not_match_are_refused() -> None:
    """One summary too few would shift all others to the wrong document."""
    with pytest.raises(ValueError, match="1 summaries for 2 documents"):
        write_digest(Found(documents=(document("a"), document("b")), problems=()), ["x"])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Plain *emphasis* and `a < b[0]`.", "Plain *emphasis* and `a < b[0]`."),
        ("# not a heading", "\\# not a heading"),
        ("1. not a list", "1\\. not a list"),
        ("[link](x) <b> &amp; `open", "\\[link](x) \\<b> \\&amp; \\`open"),
        ("---", "\\---"),
        ("\\[x](y)", "\\\\\\[x](y)"),
        ("two\nlines", "two lines"),
    ],
)
def test_quotes_are_escaped_where_it_is_needed(text: str, written: str) -> None:
    """Code and emphasis stay readable; what would become a link, tag or block does not."""
    assert quoted(text) == written


@given(HOSTILE)
@example("***")
@example("\\`a `b<i>`")
@example("`` ` `<b>`")
def test_a_quote_starts_nothing_but_emphasis_and_code(text: str) -> None:
    """Whatever is quoted, a reader sees a quote with a paragraph and nothing else."""
    found = tokens(f"> {quoted(text)}")
    blocks = [token.type for token in found if token.type != "inline"]
    assert set(blocks) <= {
        *("blockquote_open", "paragraph_open", "paragraph_close", "blockquote_close")
    }
    inner = {child.type for token in found for child in token.children or []}
    assert inner <= HARMLESS


@given(HOSTILE.filter(str.strip))
def test_a_path_is_code_whatever_it_is(path: str) -> None:
    """A path is one piece of inline code, in a heading and in a list."""
    for prefix in ("## ", "- "):
        (inline,) = [token for token in tokens(prefix + path_of(path)) if token.type == "inline"]
        assert [child.type for child in inline.children or []] == ["code_inline"]


def test_what_only_announces_is_not_in_the_overview() -> None:
    """A line that ends with a colon stands with its document, not for all of them."""
    found = Found(documents=(document("a.md"), document("b.md")), problems=())
    page = write_digest(found, ["These are the steps:\nA fox ran.", "A dog slept."])
    overview, _, sections = page.partition("## `.`")
    assert "A fox ran." in overview
    assert "These are the steps:" not in overview
    assert "> These are the steps:" in sections


def test_the_overview_lists_a_bounded_number_of_folders() -> None:
    """Of a great many folders, the number of the others is said."""
    found = Found(documents=tuple(document(f"d{n}/a.md") for n in range(103)), problems=())
    page = write_digest(found, ["A fox ran."] * 103)
    overview, _, sections = page.partition("## `d0`")
    assert overview.count("\n- `d") == 100
    assert "- and 3 more folders\n" in overview
    assert "### `d102/a.md`" in sections
