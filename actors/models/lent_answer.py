"""An answer on a lent connection, as the seam reads it and as httpx does.

Guarantees: the connection goes back once the body was read to its end, and only then; closing
early, an error or a cancel closes the socket and gives its place back. Errors are httpx's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx

from understudy.actors.models.connections import mapped
from understudy.actors.models.http1 import Http1Connection
from understudy.actors.models.leases import Leases


class Answer:
    """An answer whose head has come; it holds the lease of its connection until it is read.

    See `seam.Reading`. No generator reads it: one that is left half-way is closed by a task that
    the garbage collector starts, at a time and on a loop of its own choosing.
    """

    __slots__ = (
        "_connection",
        "_finished",
        "_leases",
        "_timeout",
        "headers",
        "reason",
        "status",
        "version",
    )

    def __init__(
        self,
        connection: Http1Connection,
        leases: Leases[Http1Connection],
        timeout: float | None,
    ) -> None:
        self.status = connection.status
        self.headers = connection.headers
        self.version, self.reason = connection.version, connection.reason
        self._connection: Http1Connection | None = connection
        self._leases = leases
        self._timeout = timeout
        self._finished = False

    def at_hand(self) -> bytes | None:
        """See `seam.Reading`."""
        connection = self._connection
        if connection is None or not connection.over:
            return None
        rest = connection.take()
        self._give_back(connection)
        return rest

    async def read(self) -> bytes | None:
        """See `seam.Reading`.

        Raises:
            httpx.StreamClosed: it was closed before it was read to its end.
        """
        connection = self._lent()
        if connection is None:
            return None
        try:
            while not (part := connection.take()):
                if connection.over:
                    self._give_back(connection)
                    return None
                await connection.more(self._timeout)
        except BaseException as error:
            known = self._broken(error)
            if known is error:
                raise
            raise known from error
        return part

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """See `seam.Reading`.

        Raises:
            httpx.StreamClosed: it was closed before it was read to its end.
        """
        connection = self._lent()
        if connection is None:
            return True
        try:
            over = await connection.pour(take, self._timeout)
        except BaseException as error:
            known = self._broken(error)
            if known is error:
                raise
            raise known from error
        if over:
            self._give_back(connection)
        return over

    async def aclose(self) -> None:
        """See `seam.Reading`."""
        self._drop()

    def _lent(self) -> Http1Connection | None:
        """The connection; None when the body was read to its end."""
        if self._connection is None and not self._finished:
            raise httpx.StreamClosed
        return self._connection

    def _broken(self, error: BaseException) -> BaseException:
        """The connection is of no use any more; the error as the seam knows it."""
        self._drop()
        return mapped(error) or error

    def _give_back(self, connection: Http1Connection) -> None:
        self._connection = None
        self._finished = True
        self._leases.give_back(connection)

    def _drop(self) -> None:
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.abort()
            self._leases.forfeit()


class AnswerBody(httpx.AsyncByteStream):
    """The body of an answer, for httpx."""

    def __init__(self, request: httpx.Request, answer: Answer) -> None:
        self._request = request
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            part = await self._answer.read()
        except httpx.TransportError as error:
            error.request = self._request
            raise
        if part is None:
            raise StopAsyncIteration
        return part

    async def aclose(self) -> None:
        """Close the socket unless the body was read to its end. Idempotent."""
        await self._answer.aclose()
