"""What the server saw: every request, the connections that carried them, and the counts of both."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of connections: open at this instant, the most that ever were, accepted so far."""

    open: int
    total: int
    peak: int = 0

    @property
    def closed(self) -> int:
        """Those that have ended, by whichever side."""
        return self.total - self.open


class ServerStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of everything that the server has counted.

    Attributes:
        requests: all that arrived whole.
        answered: written to the end, refusals among them.
        failed: broken off by a fault.
        disconnected: the client closed its socket before the end.
        limited: refused with 429 by a limit (or with the spend cap's status).
        faults: those that befell a request, by name.
        disconnects: the last 1,000 instants (the loop's clock, which is the machine's monotonic
            one) at which the server learnt that a client had left an answer.
    """

    requests: int
    answered: int
    failed: int
    disconnected: int
    limited: int
    faults: dict[str, int]
    connections: Connections
    disconnects: tuple[float, ...] = ()


class RecordedRequest:
    """One request as it arrived, and what became of it.

    Attributes:
        number: 1 for the first.
        connection: the number of the connection it came on, 1 for the first.
        method, path: from its first line.
        body: as it came.
        arrived: the server's loop time at which it was complete.
        outcome: `open`, then `answered`, `failed` (a fault broke the answer off), or `disconnected`
            (the client left first).
        ended: the loop time of the outcome, None while open. For `disconnected` that is when the
            server learnt that the socket was closed.
    """

    def __init__(
        self, *, number: int, connection: int, head: bytes, body: bytes, arrived: float
    ) -> None:
        self.number = number
        self.connection = connection
        self.method, self.path, _ = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
        self.body = body
        self.arrived = arrived
        self.outcome = "open"
        self.ended: float | None = None
        self._head = head

    @cached_property
    def headers(self) -> dict[str, str]:
        """Its headers, names in lower case; read when first asked for, as few requests are."""
        fields = self._head.decode("latin-1").split("\r\n")[1:]
        return {
            name.strip().lower(): value.strip()
            for name, _, value in (field.partition(":") for field in fields)
        }

    @property
    def json(self) -> Any:  # Any: whatever the client sent
        """The decoded body."""
        return msgspec.json.decode(self.body)

    def __repr__(self) -> str:
        return f"<RecordedRequest {self.number} {self.method} {self.path} {self.outcome}>"
