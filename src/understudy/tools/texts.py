"""The text of one document: from bytes to characters, and from a format to prose.

Guarantees: whatever the bytes, the result is text without lone surrogates or an `UnreadableError`
that says what is wrong and what to do; time is linear in the bytes. A byte order mark decides the
encoding, a coding line does so in Python files, else it is UTF-8; nothing is guessed, because a
wrong guess is quoted as if it were the author's words.
"""

from __future__ import annotations

import codecs
import io
import re
import tokenize
from collections.abc import Callable

from understudy.tools.docstrings import docstrings_of
from understudy.tools.webpages import text_of_page

MAX_BYTES = 10_000_000
MAX_PYTHON_BYTES = 400_000
"""A syntax tree takes some 250 bytes for each byte of dense source."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FRONT_MATTER = re.compile(
    r"(?P<fence>---|\+\+\+)[ \t]*\r?\n"
    r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*(?=[\w\"'.-]+[ \t]*[:=]|\[)"
    r"(?:(?!(?P=fence)|\.\.\.)[^\n]*\n){1,500}(?:(?P=fence)|\.\.\.)[ \t]*\r?(?:\n|\Z)"
)


class UnreadableError(ValueError):
    """A document has no text to give."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


def check_size(size: int) -> None:
    """Refuse an empty file and one over `MAX_BYTES`.

    Raises:
        UnreadableError: either.
    """
    if size == 0:
        raise UnreadableError("the file is empty", "write something into it, or leave it out")
    if size > MAX_BYTES:
        raise UnreadableError(
            f"the file has {size:,} bytes, the limit is {MAX_BYTES:,}",
            "split it, or leave it out",
        )


def text_of(data: bytes, suffix: str) -> str:
    """Give the text of a document from its bytes.

    Args:
        data: the whole file.
        suffix: of the file name, in lower case; one of `READERS`.

    Raises:
        UnreadableError: binary, undecodable, not valid in its format, or without text.
    """
    check_size(len(data))
    text = READERS[suffix](data)
    if not text or text.isspace():
        raise UnreadableError(*_WITHOUT_TEXT.get(suffix, _WITHOUT_WORDS))
    return text


def _decode(data: bytes, encoding: str | None = None) -> str:
    if encoding is None:
        encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding.startswith("utf-8") and (zero := data.find(0)) >= 0:
        raise UnreadableError(
            f"it is not text: there is a zero byte at offset {zero:,}",
            "convert it to text, or leave it out",
        )
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(
            f"it is not {encoding.removesuffix('-sig').upper()}: byte 0x{data[error.start]:02x} "
            f"at offset {error.start:,}",
            "convert it, for instance with: iconv -f LATIN1 -t UTF-8",
        ) from None


def _plain(data: bytes) -> str:
    return _decode(data)


def _marked_up(data: bytes) -> str:
    text = _decode(data)
    front = _FRONT_MATTER.match(text)
    return text[front.end() :] if front else text


def _page(data: bytes) -> str:
    return text_of_page(_decode(data))


def _python(data: bytes) -> str:
    if len(data) > MAX_PYTHON_BYTES:
        raise UnreadableError(
            f"the Python file has {len(data):,} bytes, the limit is {MAX_PYTHON_BYTES:,}",
            "split it, or leave it out",
        )
    if any(data.startswith(mark) for mark, _ in _MARKS):
        source = _decode(data)
    else:
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        except SyntaxError:  # an unknown encoding, or a first line that is not UTF-8
            encoding = "utf-8"
        source = _decode(data, encoding)
    try:
        return docstrings_of(source)
    except SyntaxError as error:
        raise UnreadableError(
            f"line {error.lineno or 1} is not valid Python: {error.msg}", "correct it"
        ) from None


READERS: dict[str, Callable[[bytes], str]] = {
    ".html": _page,
    ".md": _marked_up,
    ".py": _python,
    ".rst": _marked_up,
    ".txt": _plain,
}
"""What is read, by the end of the file name."""

_WITHOUT_WORDS = ("there is no text in it", "write something into it, or leave it out")
_WITHOUT_TEXT = {
    ".py": ("there are no docstrings in it", "write some, or leave it out"),
    ".html": ("there is no visible text in it", "save the rendered page, or leave it out"),
}
