"""The connection whose HTTP/1.1 is parsed in C: httptools, which is node's llhttp.

Purpose: the same as `H11Connection`, for half of its time. It needs the extra `fast`.

Guarantees: those of its twin, by the same tests. What h11 does for that one is done here: a request
that could smuggle a line into its head is refused before a byte of it leaves, and bodies without a
length are written in chunks.
"""

from __future__ import annotations

import re
from functools import lru_cache

import httpcore

from understudy.actors.models.http1 import Http1Connection
from understudy.actors.models.proxies import Proxy
from understudy.actors.models.seam import Outgoing

_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_CHUNKED = re.compile(rb"^transfer-encoding:.*\bchunked\b", re.IGNORECASE | re.MULTILINE)


class LlhttpConnection(Http1Connection):
    """See `Http1Connection`.

    Raises:
        ImportError: httptools is not installed.
    """

    def __init__(self, forward: Proxy | None = None) -> None:
        import httptools

        super().__init__(forward)
        self._parser = httptools.HttpResponseParser(self)
        self._refusals = (httptools.HttpParserError, httptools.HttpParserUpgrade)
        self._chunked = False

    def _begin(self, outgoing: Outgoing) -> bytes:
        target, headers = self._lines(outgoing)
        method = outgoing.method
        if not _TARGET.fullmatch(target) or method == b"HEAD" or not method.isalpha():
            raise httpcore.LocalProtocolError("a method or an address that HTTP/1.1 cannot carry")
        head = b"\r\n".join([_line(header) for header in headers])
        self._chunked = b"chunked" in head.lower() and _CHUNKED.search(head) is not None
        return b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (method, target, head)

    def _frame(self, part: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(part), part) if self._chunked else part

    def _finish(self) -> bytes:
        return b"0\r\n\r\n" if self._chunked else b""

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except self._refusals as error:
            raise httpcore.RemoteProtocolError(f"not HTTP/1.1: {error}") from error

    def _ends(self) -> None:
        names = {name.lower() for name, _ in self.headers}
        if not names & {b"content-length", b"transfer-encoding"}:
            self.over = True

    # -- what the parser calls ---------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer; one that nobody asked for ends the connection's use."""
        if self.over:
            raise ValueError("unasked")
        self.reason = b""

    def on_status(self, reason: bytes) -> None:
        """The words behind the number, or some of them."""
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head, or of what follows the body, which nobody reads."""
        if not self.status:
            self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The head is there, unless it is an interim one."""
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status

    def on_body(self, part: bytes) -> None:
        """Some of the body."""
        self._parts.append(part)
        self._unread += len(part)

    def on_message_complete(self) -> None:
        """The answer is whole; an interim one is forgotten."""
        if self.status:
            self.over = True
            # Half a body that lies in between would swallow the next request.
            self._keep = self._sent and self._parser.should_keep_alive()
        else:
            self.headers.clear()


@lru_cache(maxsize=1024)
def _line(header: tuple[bytes, bytes]) -> bytes:
    """A line of a head; the same ones are written again and again.

    Raises:
        httpcore.LocalProtocolError: it would be none, or more than one.
    """
    name, value = header
    line = b"%b: %b" % (name, value.strip(b" \t"))
    if not _LINE.fullmatch(line):
        raise httpcore.LocalProtocolError("illegal header")
    return line
