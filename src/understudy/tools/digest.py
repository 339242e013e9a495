"""The digest: one Markdown page over many documents.

Gives a title, an overview (counts, the sentences that stand for all the summaries, the folders with
how each begins), a section a folder with a section a document, its sentences as quotes under the
path they come from, and what was not digested and why.

Guarantees: every document and every problem stands in it once; the order is that of the list of
documents; nothing in a path or a quote can start a heading, a link, a tag or a code block of the
page. Inline emphasis and code of a Markdown source are left as they are, because a page of
backslashes cannot be read in a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from understudy.actors.rules.extractive import summarise_now
from understudy.tools.documents import Document, Found, Problem

OVERVIEW_TOKENS = 240
FOLDERS_SHOWN = 100
_FAILED = ("its step failed", "see the step's error, then run the digest again for this path")
_CODE = re.compile(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)")
_INLINE = re.compile(r"[<\[`]|&(?=#?\w+;)|\\(?=[!-/:-@\[-`{-~]|\Z)")
_LEADING = re.compile(r"[#>|=~-]|\+(?=\s|$)|[*_](?=\s|$)|(?:[*_]\s*){3,}$")
_NUMBERED = re.compile(r"\d{1,9}(?=[.)](?:\s|$))")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def write_digest(
    found: Found,
    summaries: Sequence[str | None],
    problems: Sequence[Problem] = (),
    *,
    title: str = "Digest",
) -> str:
    """Write the digest of some documents.

    Args:
        found: what `find_documents` gave.
        summaries: one for each document, in their order, a sentence a line; None where there is
            none.
        problems: why there is none, where it is known; matched by path.
        title: of the page.

    Raises:
        ValueError: there are more or fewer summaries than documents.
    """
    if len(summaries) != len(found.documents):
        raise ValueError(
            f"{len(summaries)} summaries for {len(found.documents)} documents: "
            "give one for each, None where there is none"
        )
    done = [
        (document, lines)
        for document, summary in zip(found.documents, summaries, strict=True)
        if (lines := _lines(summary))
    ]
    left = _not_digested(found, {document.path for document, _ in done}, problems)
    parts = [
        f"# {quoted(title)}",
        "## Overview",
        _counts(done, left),
        *_overview(done),
        *_folders(done),
    ]
    for folder, group in groupby(done, key=lambda pair: pair[0].folder):
        parts.append(f"## {path_of(folder)}")
        for document, lines in group:
            parts.append(f"### {path_of(document.path)}")
            parts.append(_quotes([f"> {quoted(line)}" for line in lines]))
    if left:
        parts.append("## Not digested")
        parts.append("\n".join(f"- {_reason(problem)}" for problem in left))
    return "\n\n".join(parts) + "\n"


def quoted(text: str) -> str:
    """Write foreign text on a line of a Markdown page, so that it starts nothing but emphasis."""
    text = _CONTROL.sub("\ufffd", " ".join(text.split()))
    pieces: list[str] = []
    start = 0
    for code in _CODE.finditer(text):
        pieces += (_INLINE.sub(r"\\\g<0>", text[start : code.start()]), code[0])
        start = code.end()
    pieces.append(_INLINE.sub(r"\\\g<0>", text[start:]))
    line = "".join(pieces)
    number = _NUMBERED.match(line)
    at = number.end() if number else 0
    return f"{line[:at]}\\{line[at:]}" if number or _LEADING.match(line) else line


def path_of(path: str) -> str:
    """Write a path as inline code, whatever characters it has."""
    shown = _CONTROL.sub(lambda match: ascii(match[0])[1:-1], path)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    if not longest:
        return f"`{shown}`"
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}"


def _lines(summary: str | None) -> list[str]:
    return [line for line in (summary or "").splitlines() if line.strip()]


def _quotes(quotes: Sequence[str]) -> str:
    """Make each quote a paragraph of its own, so that an unclosed emphasis ends with it."""
    return "\n>\n".join(quotes)


def _counts(done: Sequence[tuple[Document, list[str]]], left: Sequence[Problem]) -> str:
    folders = len({document.folder for document, _ in done})
    size = sum(document.size for document, _ in done)
    text = f"{_number(len(done), 'document')} in {_number(folders, 'folder')}, {size:,} bytes"
    return f"{text}; {len(left):,} not digested." if left else f"{text}."


def _overview(done: Sequence[tuple[Document, list[str]]]) -> list[str]:
    """Quote what stands for all the summaries, each sentence with the path it comes from."""
    if len(done) < 2:
        return []
    source: dict[str, str] = {}
    for document, lines in done:
        for line in lines:
            if not line.rstrip().endswith(":"):  # it announces what is not quoted
                source.setdefault(line, document.path)
    overview = summarise_now("\n\n".join(source), OVERVIEW_TOKENS)
    parts: list[str] = []
    for sentence in overview.sentences:
        path = source.get(sentence) or next(
            (path for line, path in source.items() if sentence in " ".join(line.split())), ""
        )
        parts.append(f"> {quoted(sentence)}" + (f" ({path_of(path)})" if path else ""))
    return [_quotes(parts)] if parts else []


def _folders(done: Sequence[tuple[Document, list[str]]]) -> list[str]:
    """List the folders with their first quote; a package or a manual begins with what it is."""
    folders = [
        (folder, list(group)) for folder, group in groupby(done, key=lambda pair: pair[0].folder)
    ]
    if len(folders) < 2:
        return []
    lines: list[str] = []
    for folder, group in folders[:FOLDERS_SHOWN]:
        first, quotes = group[0]
        name = path_of(first.path.rpartition("/")[2])
        count = _number(len(group), "document")
        lines.append(f"- {path_of(folder)}, {count}: {quoted(quotes[0])} ({name})")
    if len(folders) > FOLDERS_SHOWN:
        lines.append(f"- and {len(folders) - FOLDERS_SHOWN:,} more folders")
    return ["\n".join(lines)]


def _not_digested(found: Found, done: set[str], problems: Sequence[Problem]) -> list[Problem]:
    """List every path that is not in the digest, with what is known about it."""
    known = {problem.path: problem for problem in problems}
    reason, remedy = _FAILED
    return [
        *found.problems,
        *(
            known.get(document.path) or Problem(path=document.path, reason=reason, remedy=remedy)
            for document in found.documents
            if document.path not in done
        ),
    ]


def _reason(problem: Problem) -> str:
    path = path_of(problem.path) if problem.path else "no path"
    return f"{path}: {quoted(problem.reason)}; {quoted(problem.remedy)}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
