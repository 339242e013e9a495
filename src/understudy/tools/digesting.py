"""The digest as steps of a workflow (`demos/digest.toml`).

`find` lists what there is to do, `read` gives the text of one entry, `write` makes the page of what
came of them. A path that cannot be read is an entry too: reading it fails with its remedy, so it is
counted, shown and reported like any other document that could not be digested.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.messages.errors import UnderstudyError, WorkflowError
from understudy.runtime.run_context import RunContext
from understudy.tools.digest import write_digest
from understudy.tools.documents import (
    Document,
    DocumentError,
    Found,
    Problem,
    find_documents,
    read_document,
)

TEXT_NAME = "(standard input)"


def find(value: Sequence[str] | str) -> tuple[Document | Problem, ...]:
    """What is to be digested: the documents under some paths, or one text.

    Args:
        value: paths of files and folders; or a text, which is a document of its own.
    """
    if isinstance(value, str):
        size = len(value.encode(errors="surrogatepass"))
        return (Document(path=TEXT_NAME, folder=".", size=size, text=value),)
    found = find_documents(value)
    return (*found.documents, *found.problems)


def read(entry: Document | Problem) -> str:
    """The text of one entry; blocks the calling thread.

    Raises:
        DocumentError: it cannot be read, with what to do about it.
    """
    if isinstance(entry, Problem):
        raise DocumentError(str(entry), path=entry.path, reason=entry.reason, remedy=entry.remedy)
    return read_document(entry)


def write(ctx: RunContext) -> str:
    """The digest of everything that the step `document` has come back with, as Markdown."""
    entries: Sequence[Document | Problem] = ctx["find"]
    summaries: Sequence[str | None] = ctx.get("document") or [None] * len(entries)
    errors = ctx.errors("document")
    documents = tuple(entry for entry in entries if isinstance(entry, Document))
    left = [
        _problem(entry, errors[index])
        for index, entry in enumerate(entries)
        if isinstance(entry, Document) and index in errors
    ]
    texts = [
        summary
        for entry, summary in zip(entries, summaries, strict=True)
        if isinstance(entry, Document)
    ]
    problems = tuple(entry for entry in entries if isinstance(entry, Problem))
    return write_digest(Found(documents=documents, problems=problems), texts, left)


def _problem(document: Document, error: BaseException) -> Problem:
    """What went wrong with a document, from the innermost cause of its step."""
    cause: BaseException = error
    while isinstance(cause, WorkflowError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, DocumentError):
        return cause.problem
    said = cause.message if isinstance(cause, UnderstudyError) else repr(cause)
    return Problem(path=document.path, reason=said, remedy="run the digest again for this path")
