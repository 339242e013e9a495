"""A model server that costs next to nothing, in a process of its own.

    python -m benchmarks.model_server [--latency 0.1] [--tokens 80] [--rate 8]

Purpose: what is measured in front of it is the client. A request is told by its length and answered
with bytes that were made before; nothing is parsed. It speaks OpenAI's chat completions: whole, or
streamed with `"stream":true` at `--rate` tokens a second, where each token is the clock's time in
microseconds at which it was written (one clock for all processes of a Linux machine), so that a
reader knows how long it was on its way.

It prints its address, then a line of JSON for each line it reads: connections opened, open at this
instant and at most, requests, tokens written, and when the last connection was lost. It ends with
its standard input.

Why not `ProviderServer`: that one is faithful, which takes longer than what is measured here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

ANSWER = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}'
)
WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-request-id: req_1\r\n\r\n%b" % (len(ANSWER), ANSWER)
)
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    b"x-request-id: req_1\r\n\r\n"
)
TOKEN = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"%d "},"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def micros() -> int:
    """Microseconds of the clock that all processes share."""
    return time.monotonic_ns() // 1000


class Counts:
    """What the server has seen."""

    def __init__(self) -> None:
        self.opened = self.open = self.peak = self.requests = self.tokens = self.lost_at = 0


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, given: argparse.Namespace, counts: Counts) -> None:
        self._given = given
        self._counts = counts
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self._transport = cast("asyncio.Transport", transport)
        counts = self._counts
        counts.opened += 1
        counts.open += 1
        counts.peak = max(counts.peak, counts.open)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Note when."""
        self._counts.open -= 1
        self._counts.lost_at = micros()
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            start = head.find(b"content-length:")
            stop = head.find(b"\r\n", start)
            size = int(head[start + 15 : stop if stop >= 0 else end]) if start >= 0 else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            self._counts.requests += 1
            answer = self._stream if b'"stream":true' in body else self._whole
            if self._given.latency:
                self._timer = self._loop.call_later(self._given.latency, answer)
            else:
                answer()

    def _whole(self) -> None:
        if self._transport is not None:
            self._transport.write(WHOLE)

    def _stream(self) -> None:
        if self._transport is not None:
            self._transport.write(HEAD)
            self._token(self._loop.time(), 0)

    def _token(self, due: float, sent: int) -> None:
        if self._transport is None:
            return
        if sent == self._given.tokens:
            self._transport.write(_chunk(LAST) + b"0\r\n\r\n")
            return
        self._transport.write(_chunk(TOKEN % micros()))
        self._counts.tokens += 1
        due += 1 / self._given.rate if self._given.rate else 0
        self._timer = self._loop.call_at(due, self._token, due, sent + 1)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(given: argparse.Namespace) -> None:
    """Serve until the standard input ends."""
    loop = asyncio.get_running_loop()
    counts = Counts()
    server = await loop.create_server(
        lambda: Connection(given, counts), "127.0.0.1", 0, backlog=4096
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(vars(counts)), flush=True)


class ModelServer:
    """The server as its starter sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.base_url = self._read().strip()

    def counts(self) -> dict[str, int]:
        """What it has seen up to now."""
        if self._process.stdin is None:
            raise RuntimeError("the server was started without a standard input")
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        found: dict[str, int] = json.loads(self._read())
        return found

    def _read(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError("the server was started without a standard output")
        return self._process.stdout.readline()


@contextmanager
def running(*, latency: float = 0, tokens: int = 80, rate: float = 8) -> Iterator[ModelServer]:
    """A server in a process of its own, for the time of the block."""
    command = [sys.executable, "-m", "benchmarks.model_server", "--latency", str(latency)]
    command += ["--tokens", str(tokens), "--rate", str(rate)]
    with subprocess.Popen(  # noqa: S603 - ourselves
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield ModelServer(process)
        finally:
            process.communicate()


def main() -> None:
    """Serve, on uvloop where it is installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_server", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--latency", type=float, default=0, help="seconds before each answer")
    parser.add_argument("--tokens", type=int, default=80, help="tokens of a stream")
    parser.add_argument("--rate", type=float, default=8, help="tokens a second; 0: at once")
    given = parser.parse_args()
    factory = asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        pass
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(given))


if __name__ == "__main__":
    main()
