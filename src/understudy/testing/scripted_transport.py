"""`ScriptedTransport`: the HTTP seam, answered from a script.

    transport = ScriptedTransport([{"status": 503}, httpx.ConnectError("down"), {"json": {...}}])
    Runtime(transport=transport)

For what depends on answers and not on sockets; for sockets there is `ProviderServer`.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx

# Any: the arguments of httpx.Response, with `status` for the status code (200)
Scripted = httpx.Response | BaseException | Mapping[str, Any]
Respond = Callable[[httpx.Request], Scripted | Awaitable[Scripted]]


class ScriptedTransport(httpx.AsyncBaseTransport):
    """Answers the n-th request with the n-th entry of the script.

    Args:
        script: responses, arguments for a response, or exceptions to raise; or a function of the
            request (sync or async) that gives one of them.

    Attributes:
        requests: every request, its body read, in the order they came.
        closed: whether `aclose` was called.
    """

    def __init__(self, script: Sequence[Scripted] | Respond) -> None:
        self.requests: list[httpx.Request] = []
        self.closed = False
        self._respond = script if callable(script) else None
        self._script: deque[Scripted] = deque(() if callable(script) else script)
        self._size = len(self._script)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        await request.aread()
        self.requests.append(request)
        scripted = await self._next(request)
        if isinstance(scripted, BaseException):
            raise scripted
        if isinstance(scripted, httpx.Response):
            return scripted
        arguments = dict(scripted)
        return httpx.Response(arguments.pop("status", 200), request=request, **arguments)

    async def aclose(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    async def _next(self, request: httpx.Request) -> Scripted:
        if self._respond is not None:
            given = self._respond(request)
            return await given if inspect.isawaitable(given) else given
        if not self._script:
            msg = (
                f"the script has {self._size} answers, and {request.method} {request.url.path} "
                "is one more request"
            )
            raise AssertionError(msg)
        return self._script.popleft()
