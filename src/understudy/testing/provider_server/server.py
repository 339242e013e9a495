"""`ProviderServer`: a real HTTP server on loopback that plays model providers.

Purpose: test what talks to providers against sockets, without a provider and without mocking a
client: latency, pace, keep-alive, limits, faults and disconnects are real.

Guarantees: `with` runs it on a daemon thread with an event loop of its own; `async with` on the
running loop. Port 0 unless another is asked for, loopback only, no dependency. Both forms stop it:
open connections are reset, and the thread has ended when `with` is left. `requests`, `connections`
and `stats` may be read from any thread.

Assumptions: it is for tests and benchmarks; it trusts its clients.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Self

import msgspec

from understudy.messages.errors import ConfigError
from understudy.testing.provider_server.exchange import Behaviour, Latency
from understudy.testing.provider_server.http import ServerConnection, head_of
from understudy.testing.provider_server.limits import Buckets, Limits
from understudy.testing.provider_server.listener import Listener
from understudy.testing.provider_server.records import Connections, RecordedRequest, ServerStats
from understudy.testing.provider_server.script import Answers, Faults, Script
from understudy.testing.provider_server.service import PROTOCOLS, Service

STATS_PATH = "/understudy/stats"


class ProviderServer:
    """A provider on loopback, speaking OpenAI's, Anthropic's and Ollama's protocols at one port.

    Args:
        answers: one text for every request; a list (one a request: texts, `call(...)`s, lists of
            them, faults, exceptions); a function of the conversation; or None: the last user
            message behind `echo: `.
        faults: befall the first requests, in order (None leaves a request alone), or a `FaultMix`.
            A model called `fault-NAME` has that fault of `NAMED` in any case.
        latency: seconds from a request to the first byte of its answer, or a function that draws
            them from a `random.Random`.
        tokens_per_second: pace of the answer; a token is a word. None: at once.
        limits: what the account may use; None: everything.
        models: the names that exist; empty: every name does.
        api_key: the only key that is let in; None: anybody is.
        protocols: those that are spoken.
        record: keep every request in `requests`; switch it off for millions of them.
        seed: of the random latencies.
        port: 0 picks a free one.

    Attributes:
        requests: every request, in the order they came.
    """

    def __init__(
        self,
        answers: Answers = None,
        *,
        faults: Faults = (),
        latency: Latency = 0.0,
        tokens_per_second: float | None = None,
        limits: Limits | None = None,
        models: Sequence[str] = (),
        api_key: str | None = None,
        protocols: Sequence[str] = PROTOCOLS,
        record: bool = True,
        seed: int = 0,
        port: int = 0,
    ) -> None:
        _check(latency, tokens_per_second, protocols)
        self.requests: list[RecordedRequest] = []
        self._record = record
        self._limits = limits
        self._how = Behaviour(
            script=Script(answers, faults),
            latency=latency,
            tokens_per_second=tokens_per_second,
            models=tuple(models),
            api_key=api_key,
            refuse=self._refuse,
            seed=seed,
        )
        self._service = Service(self._how, tuple(protocols))
        self._open: set[ServerConnection] = set()
        self._counts = {"accepted": 0, "peak": 0, "requests": 0}
        self._outcomes = {"answered": 0, "failed": 0, "disconnected": 0}
        self._left: deque[float] = deque(maxlen=1000)
        self._changed = threading.Condition()
        self._blocked = 0
        self._watchers: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._listener = Listener(self._accept, port)
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # -- what it is and what it saw ----------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """What a client of OpenAI's protocols takes as `base_url`; known once the server runs."""
        return f"{self.url}/v1"

    @property
    def url(self) -> str:
        """Scheme, host and port: the `base_url` of Anthropic's and Ollama's clients."""
        if not self._listener.port:
            raise RuntimeError("no address yet: enter the server with `with` or `async with`")
        return f"http://127.0.0.1:{self._listener.port}"

    @property
    def connections(self) -> Connections:
        """Connections open now, at most so far, and accepted so far."""
        return Connections(
            open=len(self._open), peak=self._counts["peak"], total=self._counts["accepted"]
        )

    @property
    def stats(self) -> ServerStats:
        """Everything that was counted; also `GET /understudy/stats`, as JSON."""
        return ServerStats(
            requests=self._counts["requests"],
            limited=self._how.limited,
            faults=dict(self._how.faults),
            connections=self.connections,
            disconnects=tuple(self._left),
            **self._outcomes,
        )

    def until(self, predicate: Callable[[ProviderServer], bool], timeout: float = 5.0) -> None:
        """Block until the predicate holds; it is asked after every change.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """
        with self._changed:
            self._blocked += 1
            try:
                if not self._changed.wait_for(lambda: predicate(self), timeout):
                    raise TimeoutError(self._report())
            finally:
                self._blocked -= 1

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

    # -- its life ----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        ready = threading.Event()
        failed: list[BaseException] = []
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(ready, failed)),
            name="understudy-provider-server",
            daemon=True,
        )
        self._thread.start()
        ready.wait()
        if failed:
            self._thread.join()
            raise failed[0]
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
        await self._listener.start()
        if self._limits is not None:
            self._how.buckets = Buckets(self._limits, self._loop.time())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._listener.close()
        for connection in tuple(self._open):
            connection.reset()
        await self.auntil(lambda server: not server.connections.open)
        await self._listener.closed()

    async def _main(self, ready: threading.Event, failed: list[BaseException]) -> None:
        self._stopping = asyncio.Event()
        try:
            await self.__aenter__()
        except OSError as error:
            failed.append(error)
            return
        finally:
            ready.set()
        await self._stopping.wait()
        await self.__aexit__()

    def _refuse(self, seconds: float) -> None:
        self._listener.pause(seconds)

    # -- its connections (see `Host`) --------------------------------------------------------------

    def _accept(self) -> ServerConnection:
        self._counts["accepted"] += 1
        return ServerConnection(self, self._counts["accepted"])

    def connected(self, connection: ServerConnection) -> None:
        """See `Host`."""
        self._open.add(connection)
        self._counts["peak"] = max(self._counts["peak"], len(self._open))
        self._wake()

    def disconnected(self, connection: ServerConnection) -> None:
        """See `Host`."""
        self._open.discard(connection)
        self._wake()

    def received(self, connection: ServerConnection, head: bytes, body: bytes) -> RecordedRequest:
        """See `Host`."""
        self._counts["requests"] += 1
        request = RecordedRequest(
            number=self._counts["requests"],
            connection=connection.number,
            head=head,
            body=body,
            arrived=asyncio.get_running_loop().time(),
        )
        if self._record:
            self.requests.append(request)
        self._wake()
        return request

    def handle(
        self, request: RecordedRequest, connection: ServerConnection
    ) -> Coroutine[None, None, None] | None:
        """See `Host`."""
        if request.path == STATS_PATH:
            self._tell(connection)
            return None
        return self._service.handle(request, connection)

    def ended(self, request: RecordedRequest, outcome: str) -> None:
        """See `Host`."""
        request.outcome = outcome
        request.ended = asyncio.get_running_loop().time()
        self._outcomes[outcome] += 1
        if outcome == "disconnected":
            self._left.append(request.ended)
        self._wake()

    def _tell(self, connection: ServerConnection) -> None:
        body = msgspec.json.encode(self.stats)
        head = head_of(200, len(body), content_type="application/json")
        connection.send(head + body)
        connection.complete = True

    def _wake(self) -> None:
        if self._blocked:
            with self._changed:
                self._changed.notify_all()
        for loop, event in tuple(self._watchers):
            if loop is self._loop:
                event.set()
            else:
                loop.call_soon_threadsafe(event.set)

    def _report(self) -> str:
        return f"not within the time; {self.connections}, {self.requests[-3:]}"


def _check(latency: Latency, tokens_per_second: float | None, protocols: Sequence[str]) -> None:
    if not callable(latency) and latency < 0:
        raise ConfigError(f"ProviderServer(latency={latency}): 0 or more seconds")
    if tokens_per_second is not None and tokens_per_second <= 0:
        told = "more than 0, or None for no pace"
        raise ConfigError(f"ProviderServer(tokens_per_second={tokens_per_second}): {told}")
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown or not protocols:
        known = ", ".join(PROTOCOLS)
        raise ConfigError(f"ProviderServer(protocols={list(protocols)}): choose from {known}")
