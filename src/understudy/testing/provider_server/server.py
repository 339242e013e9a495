"""`ProviderServer`: a real HTTP server on loopback that plays a model provider.

Purpose: test what talks to providers against sockets, without a provider and without mocking a
client: latency, pace, keep-alive, faults and disconnects are real.

Guarantees: `with` runs it on a daemon thread with an event loop of its own; `async with` on the
running loop. Port 0, loopback only, no dependency. Both forms stop it: open connections are reset,
and the thread has ended when `with` is left. `requests` and `connections` may be read from any
thread.

Assumptions: it is for tests and benchmarks; it trusts its clients.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from understudy.testing.provider_server.faults import Fault
from understudy.testing.provider_server.http import Responder, ServerConnection
from understudy.testing.provider_server.openai import OpenAIProtocol
from understudy.testing.provider_server.records import Connections, RecordedRequest
from understudy.testing.provider_server.script import Answers, Script


class ProviderServer:
    """A provider on loopback, speaking OpenAI's chat completions.

    Args:
        answers: a list (one a request: texts, `ToolCall`s, lists of them, faults), a function of
            the conversation, or None: the last user message behind `echo: `.
        faults: befall the first requests, in order; None leaves a request alone.
        latency: seconds from a request to the first byte of its answer.
        tokens_per_second: pace of the answer; a token is a word. None: at once.
        models: the names that exist; empty: every name does.
        api_key: the only key that is let in; None: anybody is.

    Attributes:
        requests: every request, in the order they came.
    """

    def __init__(
        self,
        answers: Answers = None,
        *,
        faults: Sequence[Fault | None] = (),
        latency: float = 0.0,
        tokens_per_second: float | None = None,
        models: Sequence[str] = (),
        api_key: str | None = None,
    ) -> None:
        self.requests: list[RecordedRequest] = []
        self._protocol = OpenAIProtocol(Script(answers, faults), models=models, api_key=api_key)
        self._pace = (latency, tokens_per_second)
        self._open: set[ServerConnection] = set()
        self._accepted = 0
        self._changed = threading.Condition()
        self._watchers: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._server: asyncio.Server | None = None
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        """What a client takes as `base_url`; known once the server runs."""
        return f"{self.url}/v1"

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        if not self._port:
            raise RuntimeError("no address yet: enter the server with `with` or `async with`")
        return f"http://127.0.0.1:{self._port}"

    @property
    def connections(self) -> Connections:
        """Connections open now, and accepted so far."""
        return Connections(open=len(self._open), total=self._accepted)

    def until(self, predicate: Callable[[ProviderServer], bool], timeout: float = 5.0) -> None:
        """Block until the predicate holds; it is asked after every change.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self), timeout):
                raise TimeoutError(self._report())

    async def auntil(
        self, predicate: Callable[[ProviderServer], bool], timeout: float = 5.0
    ) -> None:
        """The twin of `until` that blocks no thread."""
        watcher = (asyncio.get_running_loop(), asyncio.Event())
        self._watchers.append(watcher)
        try:
            async with asyncio.timeout(timeout):
                while not predicate(self):
                    await watcher[1].wait()
                    watcher[1].clear()
        except TimeoutError:
            raise TimeoutError(self._report()) from None
        finally:
            self._watchers.remove(watcher)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(ready)),
            name="understudy-provider-server",
            daemon=True,
        )
        self._thread.start()
        ready.wait()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._loop is not None and self._stopping is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(self._accept, "127.0.0.1", 0, backlog=4096)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._open):
            connection.reset()
        await self.auntil(lambda server: not server.connections.open)
        await self._server.wait_closed()

    async def _main(self, ready: threading.Event) -> None:
        self._stopping = asyncio.Event()
        try:
            await self.__aenter__()
        finally:
            ready.set()
        await self._stopping.wait()
        await self.__aexit__()

    def _accept(self) -> ServerConnection:
        self._accepted += 1
        return ServerConnection(
            number=self._accepted,
            handler=self._answer,
            received=self._record,
            changed=self._note,
        )

    def _record(
        self,
        connection: ServerConnection,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
    ) -> RecordedRequest:
        request = RecordedRequest(
            number=len(self.requests) + 1,
            connection=connection.number,
            method=method,
            path=path,
            headers=headers,
            body=body,
            arrived=asyncio.get_running_loop().time(),
        )
        self.requests.append(request)
        self._wake()
        return request

    async def _answer(self, request: RecordedRequest, responder: Responder) -> None:
        if not await self._protocol.answer(request, responder, self._pace):
            await responder.whole(
                404,
                b'{"error": {"message": "no such path", "type": "invalid_request_error"}}',
                content_type="application/json",
                headers={},
            )

    def _note(self, connection: ServerConnection) -> None:
        if connection.is_open:
            self._open.add(connection)
        else:
            self._open.discard(connection)
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
        for loop, event in tuple(self._watchers):
            if loop is self._loop:
                event.set()
            else:
                loop.call_soon_threadsafe(event.set)

    def _report(self) -> str:
        return f"not within the time; {self.connections}, {self.requests[-3:]}"
