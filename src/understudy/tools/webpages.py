"""The visible text of an HTML page, as Markdown.

Gives headings, list items, table rows and code as such, and the rest as paragraphs, so that what is
done with Markdown can be done with pages. Scripts, styles and other things nobody sees are dropped.

Guarantees: linear in the page. The parser of the standard library alone is not: it looks for the
end of each unclosed tag or comment through the whole rest. So comments are taken out beforehand,
and a `<` that is not closed within `MAX_TAG` characters is text, as it is for a browser's reader.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

MAX_TAG = 2_000
_HIDDEN = frozenset({"noscript", "script", "style", "svg", "template", "textarea"})
_BREAKS = frozenset(
    "address article aside blockquote body dd details div dl dt fieldset figcaption figure footer "
    "form header hr main nav ol p section summary table tbody thead ul".split()
)
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)} | {"title": "#"}
_SECTION = re.compile(r"<!\[[^>]{0,200}>")
_SPACE = re.compile(r"\s+")


def text_of_page(page: str) -> str:
    """Give the visible text of an HTML page."""
    parser = _Page()
    parser.feed(tame(page))
    parser.close()
    return parser.text()


class _Page(HTMLParser):
    """Collects blocks; a block is a list of pieces, joined once."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._blocks: list[str] = []
        self._pieces: list[str] = []
        self._prefix = ""
        self._hidden = 0
        self._code = False

    def text(self) -> str:
        """Give what was collected."""
        self._end_block()
        return "\n\n".join(self._blocks)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a block, or a stretch that nobody sees."""
        del attrs  # what a tag looks like does not matter
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _HEADINGS or tag == "li":
            self._end_block()
            self._prefix = f"{_HEADINGS.get(tag, '-')} "
        elif tag == "pre":
            self._end_block()
            self._code = True
        elif tag in {"td", "th"}:
            self._pieces.append(" | ")
        elif tag == "br":
            self._pieces.append("\n")
        elif tag == "tr" or tag in _BREAKS:
            self._end_block()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take `<br/>` like `<br>`, and let `<svg/>` hide nothing."""
        if tag not in _HIDDEN:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """End a block, or a stretch that nobody sees."""
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _HEADINGS or tag in _BREAKS or tag in {"li", "pre", "tr"}:
            self._end_block()

    def handle_data(self, data: str) -> None:
        """Take text, unless it is hidden."""
        if not self._hidden:
            self._pieces.append(data)

    def _end_block(self) -> None:
        text = "".join(self._pieces)
        self._pieces.clear()
        if self._code:
            text = text.strip("\r\n")
            block = f"```\n{text}\n```" if text.strip() else ""
        else:
            text = _SPACE.sub(" ", text).strip()
            block = self._prefix + text if text else ""
        if block:
            self._blocks.append(block)
        self._prefix = ""
        self._code = False


def tame(page: str) -> str:
    """Take out what the parser would be slow on: comments, and tags that are not closed."""
    pieces: list[str] = []
    start = 0
    while (comment := page.find("<!--", start)) >= 0:
        pieces.append(page[start:comment])
        end = page.find("-->", comment + 4)
        start = len(page) if end < 0 else end + 3
    pieces.append(page[start:])
    # Joined by spaces: what stood before and after a comment must not make another one.
    page = _SECTION.sub(" ", " ".join(pieces)).replace("<![", "&lt;![")
    *closed, rest = page.split(">")
    tags = [f"{part[:-MAX_TAG].replace('<', '&lt;')}{part[-MAX_TAG:]}" for part in closed]
    return ">".join([*tags, rest.replace("<", "&lt;")])
