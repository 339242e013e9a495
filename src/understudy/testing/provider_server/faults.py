"""What can go wrong with an HTTP answer, as data.

Each fault stands in a script in place of an answer, or in `ProviderServer(faults=[...])` in front
of all answers. Those that break an answer off need one to break: the server's next one.
"""

from __future__ import annotations

import msgspec


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all faults."""


class Status(Fault, frozen=True, kw_only=True):
    """An error answer.

    Attributes:
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


class Reset(Fault, frozen=True, kw_only=True):
    """The connection is reset: at once, or `after` that many pieces of the body.

    As on any network, a reset may overtake what the client has not read yet; it gets ten
    milliseconds.
    """

    after: int | None = None


class Truncate(Fault, frozen=True, kw_only=True):
    """The body ends early, in good form: `after` pieces of a stream, else in the middle."""

    after: int = 1


class Malformed(Fault, frozen=True, kw_only=True):
    """Status 200 and a body that is not JSON.

    Attributes:
        body: what is sent instead.
        content_type: what it claims to be.
    """

    body: bytes = b'{"choices": [{"message": {"content": "cut'
    content_type: str = "application/json"


class Blackhole(Fault, frozen=True, kw_only=True):
    """The request is taken and never answered; the connection stays open until the client goes."""


class Drip(Fault, frozen=True, kw_only=True):
    """The answer comes one byte at a time, `interval` seconds apart."""

    interval: float = 0.001


class StreamFault(Fault, frozen=True, kw_only=True):
    """A stream says after `after` pieces, with status 200, that it failed."""

    after: int = 1
    message: str = "a fault of the test"
    type: str = "server_error"
    code: str | int | None = None
