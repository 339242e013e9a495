"""One answer from its head on, with its limits in time and size; see `exchange`.

A body is read whole, part by part, or poured: then each part is taken where it arrives, in no task.
For a stream of tokens that is half of what a token costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import httpx

from understudy.actors.models.patience import Patience
from understudy.actors.models.provider import ProviderSettings
from understudy.actors.models.seam import Reading
from understudy.messages.errors import (
    DeadlineExceededError,
    ResponseError,
    StreamBrokenError,
    UnderstudyError,
)

_DRAIN = 1.0


class Incoming:
    """An answer whose head has come. Read it to its end or close it."""

    def __init__(
        self,
        answer: Reading,
        settings: ProviderSettings,
        patience: Patience,
        loop: asyncio.AbstractEventLoop,
        *,
        where: str,
        first: float,
        end: float | None,
        scrub: Callable[[str], str],
    ) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in answer.headers
        }
        self._answer = answer
        self._idle = settings.idle_timeout
        self._most = settings.max_response_bytes
        self._where = where
        self._end = end
        self._scrub = scrub
        self._size = 0
        self._patience = patience
        self._loop = loop
        self._since = 0.0
        self._limit = first  # of this silence, whatever the deadline
        self._taker: Callable[[bytes], bool] | None = None

    async def read(self) -> bytes:
        """The whole body. Whatever happens, the connection is given back or closed."""
        rest = self._answer.at_hand()
        if rest is not None:
            self._patience.close()
            self._count(rest)
            return rest
        parts: list[bytes] = []
        try:
            while (part := await self.next()) is not None:
                parts.append(part)
        finally:
            await self.aclose()
        return b"".join(parts)

    async def next(self) -> bytes | None:
        """The next chunk, None at the end.

        Raises:
            StreamBrokenError: the connection broke, or was silent for `idle_timeout` seconds.
            ResponseError: the answer is larger than `max_response_bytes`.
            DeadlineExceededError: the time of the request is over.
        """
        self._begin()
        try:
            with self._patience:
                part = await self._answer.read()
        except (TimeoutError, httpx.HTTPError) as error:
            raise self._named(error) from error
        if part is None:
            self._patience.close()
            return None
        self._count(part)
        return part

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """Have each chunk taken where it arrives, until `take` says that it is enough.

        Args:
            take: plain; it is called on the loop, in no task, and in a copy of this context.

        Returns:
            True at the end of the body, False when there was enough.

        Raises:
            StreamBrokenError, ResponseError, DeadlineExceededError: as `next`.
            Whatever `take` raises.
        """
        self._begin()
        self._taker = take
        try:
            with self._patience:
                over = await self._answer.pour(self._take)
        except UnderstudyError:
            raise  # of `take`: some are a `TimeoutError` too
        except (TimeoutError, httpx.HTTPError) as error:
            raise self._named(error) from error
        finally:
            self._taker = None  # it leads back here, and a cycle is the garbage collector's
        if over:
            self._patience.close()
        return over

    async def drain(self) -> None:
        """After the end marker: read the bytes that end the body, so that the connection lives.

        A server that does not end it within a second, or the deadline, loses the connection; the
        answer stands.
        """
        if self._answer.at_hand() is not None:
            self._patience.close()
            return
        limit = self._loop.time() + _DRAIN
        self._patience.limit = limit if self._end is None else min(limit, self._end)
        try:
            with self._patience:
                while await self._answer.read() is not None:
                    pass
        except (TimeoutError, httpx.HTTPError):
            await self.aclose()
        finally:
            self._patience.close()

    async def aclose(self) -> None:
        """Close the socket unless the body was read to its end. Idempotent."""
        self._patience.close()
        await self._answer.aclose()

    def _begin(self) -> None:
        """A silence begins; the first one may last as long as the server thinks."""
        self._since = self._loop.time()
        limit = self._since + self._idle
        if self._size or limit > self._limit:
            self._limit = limit
        self._patience.limit = self._limit if self._end is None else min(self._limit, self._end)

    def _take(self, part: bytes) -> bool:
        """What `_count` and `_begin` do, in one: it is called for each token."""
        is_first = not self._size
        self._size += len(part)
        if self._size > self._most:
            raise self._too_large()
        self._since = now = self._loop.time()
        self._limit = limit = now + self._idle
        end = self._end
        self._patience.limit = limit if end is None or limit < end else end
        if is_first:  # later limits only rise
            self._patience.moved()
        return self._taker(part)  # type: ignore[misc]  # `pour` has set it

    def _count(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._most:
            raise self._too_large()

    def _too_large(self) -> ResponseError:
        told = f"the answer exceeds {self._most} bytes; max_response_bytes= bounds it"
        return ResponseError(f"{self._where}: {told}")

    def _named(self, error: Exception) -> UnderstudyError:
        if not isinstance(error, TimeoutError):
            said = self._scrub(str(error)) or type(error).__name__
            told = f"{self._where}: the answer broke off ({said})"
            return StreamBrokenError(told, retryable=True)
        if self._end is not None and self._end <= self._limit:
            return too_late(self._where)
        told = f"{self._where}: silent for {self._limit - self._since:.3g} s in the answer"
        return StreamBrokenError(told, retryable=True)


def too_late(where: str) -> DeadlineExceededError:
    """The deadline of a request has passed."""
    return DeadlineExceededError(f"{where}: the deadline passed before the answer was complete")
