"""What can go wrong with an HTTP answer, as data.

Each fault stands in a script in place of an answer, or in `ProviderServer(faults=...)` in front of
all answers. Those that break an answer off need one to break: the server's next one. `NAMED` holds
one of each, by the names that `FaultMix`, the command line and models called `fault-NAME` know.
"""

from __future__ import annotations

import msgspec


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all faults."""


class Status(Fault, frozen=True, kw_only=True):
    """An error answer.

    Attributes:
        type: of the error; empty: the one that the protocol has for this status.
        code: the error's code, such as `insufficient_quota`.
        retry_after: seconds, sent as `Retry-After`.
        headers: further headers of the answer.
    """

    status: int
    message: str = "a fault of the test"
    type: str = ""
    code: str = ""
    retry_after: float | None = None
    headers: dict[str, str] = {}


class Refuse(Fault, frozen=True, kw_only=True):
    """Nobody listens for `seconds`: new connections are refused, and this one is reset."""

    seconds: float = 0.05


class Reset(Fault, frozen=True, kw_only=True):
    """The connection is reset: at once, or `after` that many pieces of the body.

    As on any network, a reset may overtake what the client has not read yet; it gets ten
    milliseconds.
    """

    after: int | None = None


class Truncate(Fault, frozen=True, kw_only=True):
    """The body ends early, in good form: `after` pieces of a stream, else in the middle."""

    after: int = 1


class BadChunk(Fault, frozen=True, kw_only=True):
    """A chunked body with a chunk that has no length: `after` pieces of a stream, else half."""

    after: int = 1


class Malformed(Fault, frozen=True, kw_only=True):
    """Status 200 and a body that is not JSON.

    Attributes:
        body: what is sent instead.
        content_type: what it claims to be.
    """

    body: bytes = b'{"choices": [{"message": {"content": "cut'
    content_type: str = "application/json"


class InvalidUtf8(Fault, frozen=True, kw_only=True):
    """The answer's text has bytes in it that are no UTF-8."""


class Huge(Fault, frozen=True, kw_only=True):
    """An answer of `size` bytes, all in one line. The server holds 64 KiB of it at a time."""

    size: int = 100 * 1024 * 1024


class Blackhole(Fault, frozen=True, kw_only=True):
    """The request is taken and never answered; the connection stays open until the client goes."""


class Drip(Fault, frozen=True, kw_only=True):
    """The answer comes one byte at a time, `interval` seconds apart."""

    interval: float = 0.001


class StreamFault(Fault, frozen=True, kw_only=True):
    """A stream says after `after` pieces, with status 200, that it failed.

    An answer in one piece is then the same error in a body of status 200, as some proxies do it.

    Attributes:
        type, code: empty: what the protocol has for a failure of the server.
    """

    after: int = 1
    message: str = "a fault of the test"
    type: str = ""
    code: str | int | None = None


HTML = b"<!doctype html><html><head><title>502</title></head><body>Bad gateway</body></html>"

NAMED: dict[str, Fault] = {
    "refuse": Refuse(),
    "reset": Reset(),
    "reset-body": Reset(after=1),
    "truncate": Truncate(),
    "bad-chunk": BadChunk(),
    "blackhole": Blackhole(),
    "drip": Drip(),
    "status-429": Status(status=429, code="rate_limit_exceeded", retry_after=0.05),
    "status-500": Status(status=500),
    "status-503": Status(status=503),
    "status-529": Status(status=529),
    "malformed": Malformed(),
    "html": Malformed(body=HTML, content_type="text/html"),
    "bad-utf8": InvalidUtf8(),
    "huge": Huge(),
    "stream-error": StreamFault(),
}
"""Every fault once, as it usually looks."""


def name_of(fault: Fault) -> str:
    """How the server's counts call a fault: its name in `NAMED`, else that of its kind."""
    if isinstance(fault, Status):
        return f"status-{fault.status}"
    if isinstance(fault, Reset):
        return "reset" if fault.after is None else "reset-body"
    if isinstance(fault, Malformed):
        return "html" if fault.content_type.startswith("text/html") else "malformed"
    return _NAMES.get(type(fault), type(fault).__name__.lower())


_NAMES = {type(fault): name for name, fault in NAMED.items()}
