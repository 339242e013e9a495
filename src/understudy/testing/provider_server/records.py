"""What the server saw: every request, and the connections that carried them."""

from __future__ import annotations

from typing import Any

import msgspec


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of connections: open at this instant, and accepted so far."""

    open: int
    total: int


class RecordedRequest:
    """One request as it arrived, and what became of it.

    Attributes:
        number: 1 for the first.
        connection: the number of the connection it came on, 1 for the first.
        headers: names in lower case.
        arrived: the server's loop time at which it was complete.
        outcome: `open`, then `answered`, `failed` (a fault broke the answer off), or `disconnected`
            (the client left first).
        ended: the loop time of the outcome, None while open.
    """

    def __init__(
        self,
        *,
        number: int,
        connection: int,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        arrived: float,
    ) -> None:
        self.number = number
        self.connection = connection
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.arrived = arrived
        self.outcome = "open"
        self.ended: float | None = None

    @property
    def json(self) -> Any:  # Any: whatever the client sent
        """The decoded body."""
        return msgspec.json.decode(self.body)

    def __repr__(self) -> str:
        return f"<RecordedRequest {self.number} {self.method} {self.path} {self.outcome}>"
