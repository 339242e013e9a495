"""Documents of a file tree: finding them, and reading one.

Gives `find_documents`, which lists what can be read under some paths, and `read_document`, which
gives the text of one of them. They are two steps, so that a workflow reads each document where it
is worked on: as many texts are in memory as there are steps at work, never the whole tree.

Guarantees: the same tree gives the same list in the same order. A path that cannot be read is data
(a `Problem` with the path, what is wrong and what to do), never an end for the other documents.
Links to folders are followed once each, so a loop of links ends; a file that is named twice, also
by a link, is listed once. Nothing but regular files is opened: a pipe would block for ever.

Assumes that hidden folders and the folders in `SKIPPED_FOLDERS` hold copies and machinery; one that
is named as a path is walked all the same.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from understudy.messages.errors import UnderstudyError
from understudy.tools.texts import READERS, UnreadableError, check_size, text_of

SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"}
)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A file that can be read.

    Attributes:
        path: as it was named, or under the folder that was named.
        folder: the path without the file name; `"."` for a file of the current folder.
        size: bytes, when it was found.
        text: the text itself, where it did not come from a file.
    """

    path: str
    folder: str
    size: int
    text: str | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A path that is not digested: what is wrong with it, and what to do about it."""

    path: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path or '(no path)'}: {self.reason}; {self.remedy}"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What there is under some paths, in order: documents, and paths that are none."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


class DocumentError(UnderstudyError):
    """A document cannot be read: `path`, `reason`, `remedy`."""

    path: str = ""
    reason: str = ""
    remedy: str = ""

    @property
    def problem(self) -> Problem:
        """The error as data."""
        return Problem(path=self.path, reason=self.reason, remedy=self.remedy)


def find_documents(paths: str | Sequence[str]) -> Found:
    """List the documents under some paths; files are looked at, not opened.

    Args:
        paths: files and folders; folders are walked. The files of a folder come before its
            folders, both by name.
    """
    search = _Search()
    for path in [paths] if isinstance(paths, str) else paths:
        search.take(path)
    if not search.documents and not search.problems:
        search.report("", "no paths were given", "name files or folders to read")
    return Found(documents=tuple(search.documents), problems=tuple(search.problems))


def read_document(document: Document) -> str:
    """Read one document as text; blocks the calling thread.

    Front matter is dropped from Markdown and reStructuredText; HTML gives its visible text, Python
    its docstrings, both as Markdown.

    Raises:
        DocumentError: it is gone, too large, binary, in an unknown encoding, or has no text.
    """
    path = document.path
    try:
        if document.text is not None:
            return text_of(document.text.encode(errors="surrogatepass"), ".md")
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("it is not a regular file", "name a file with text in it")
        check_size(status.st_size)
        with Path(path).open("rb") as file:
            data = file.read(status.st_size + 1)  # not more than was checked, if it grows
        return text_of(data, Path(path).suffix.lower())
    except UnreadableError as error:
        problem = Problem(path=path, reason=error.reason, remedy=error.remedy)
    except OSError as error:
        problem = _refused(path, error)
    raise DocumentError(
        str(problem), path=problem.path, reason=problem.reason, remedy=problem.remedy
    )


class _Search:
    """What was found so far."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.problems: list[Problem] = []
        self._seen: set[tuple[int, int]] = set()  # device and inode of files and folders

    def report(self, path: str, reason: str, remedy: str) -> None:
        self.problems.append(Problem(path=_shown(path), reason=reason, remedy=remedy))

    def take(self, path: str) -> None:
        """Take a path that was named."""
        if not path:
            self.report(path, "the path is empty", "name a file or folder")
            return
        try:
            status = Path(path).stat()
        except (OSError, ValueError) as error:  # ValueError: a zero or surrogate in the path
            self.problems.append(_refused(path, error))
            return
        if stat.S_ISDIR(status.st_mode):
            before = len(self.documents) + len(self.problems)
            known = self._walk(path)
            if before == len(self.documents) + len(self.problems) and not known:
                kinds = ", ".join(sorted(READERS))
                self.report(path, "there are no documents in this folder", f"looked for {kinds}")
        else:
            self._take_file(path, status, named=True)

    def _walk(self, top: str) -> bool:
        """Take all files under a folder; tell whether something in it was known before."""
        known = False
        left = [top]
        while left:
            folder = left.pop()
            try:
                status = Path(folder).stat()
                if (status.st_dev, status.st_ino) in self._seen:
                    known = True
                    continue
                self._seen.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as entries:
                    names = sorted(entry.name for entry in entries)
            except OSError as error:
                self.problems.append(_refused(folder, error))
                continue
            folders = []
            for path, status in self._look(folder, names):
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path)
                else:
                    known = not self._take_file(path, status, named=False) or known
            left += reversed(folders)
        return known

    def _look(self, folder: str, names: list[str]) -> Iterator[tuple[str, os.stat_result]]:
        """Stat the entries of a folder that may be documents or hold some."""
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118  # keeps "./a" as it was named
            is_document = Path(name).suffix.lower() in READERS
            try:
                status = Path(path).stat()
            except OSError as error:
                if is_document and not name.startswith("."):
                    self.problems.append(_refused(path, error))
                continue
            if stat.S_ISDIR(status.st_mode):
                if not name.startswith(".") and name not in SKIPPED_FOLDERS:
                    yield path, status
            elif is_document and not name.startswith(".") and stat.S_ISREG(status.st_mode):
                yield path, status

    def _take_file(self, path: str, status: os.stat_result, *, named: bool) -> bool:
        """Take a file, as a document or a problem; False if it was known before."""
        if (status.st_dev, status.st_ino) in self._seen:
            return False
        self._seen.add((status.st_dev, status.st_ino))
        problem = self._problem_of(path, status)
        if problem is None:
            folder = os.path.dirname(path) or "."  # noqa: PTH120  # Path would drop "./"
            self.documents.append(Document(path=path, folder=folder, size=status.st_size))
        elif named or status.st_size or Path(path).name != "__init__.py":
            self.problems.append(problem)  # an empty __init__.py only says that there is a package
        return True

    def _problem_of(self, path: str, status: os.stat_result) -> Problem | None:
        """Say what a look at a file is enough to know."""
        reason = remedy = ""
        if _shown(path) != path:
            reason, remedy = "the name is not UTF-8", "rename it"
        elif not stat.S_ISREG(status.st_mode):
            reason, remedy = "it is not a regular file", "name a file with text in it"
        elif Path(path).suffix.lower() not in READERS:
            kinds = ", ".join(sorted(READERS))
            reason, remedy = "this kind of file is not read", f"convert it to one of {kinds}"
        else:
            try:
                check_size(status.st_size)
            except UnreadableError as error:
                reason, remedy = error.reason, error.remedy
        return Problem(path=_shown(path), reason=reason, remedy=remedy) if reason else None


def _refused(path: str, error: OSError | ValueError) -> Problem:
    """Put what the system said about a path into words."""
    match error:
        case FileNotFoundError() if os.path.islink(path):  # noqa: PTH114  # the path may be any text
            reason, remedy = "the link leads nowhere", "repair it, or leave it out"
        case FileNotFoundError() | NotADirectoryError():
            reason, remedy = "there is no such file or folder", "check the spelling"
        case PermissionError():
            reason, remedy = "it may not be read", "give read permission, or leave it out"
        case OSError():
            reason, remedy = f"it cannot be read ({error.strerror})", "check the path"
        case _:
            reason, remedy = "no file can have this name", "check the spelling"
    return Problem(path=_shown(path), reason=reason, remedy=remedy)


def _shown(path: str) -> str:
    """Write a path so that it can be encoded: bytes that are not UTF-8 as escapes."""
    try:
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return path.encode("utf-8", "backslashreplace").decode()
