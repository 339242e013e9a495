"""One contender of `benchmarks.models`: it takes one figure and prints it as JSON.

    python -m benchmarks.models_client agent-plain http://127.0.0.1:PORT/v1 --options '{"size": 16}'

A contender is what asks (`agent`, `raw`, `client`, `streams`, `rawstreams`, `cancel`) and over what
(`plain`, `fast`); `agent-fast-spared` has told the cycle collector to look less often. All of them
read the same answers to their end and look at every chunk.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httpx
from benchmarks.model_server import micros

from understudy import Agent, Runtime
from understudy.actors.models.transport import LeasedTransport

ASK = b'{"model":"m","messages":[{"role":"user","content":"one two three"}]%b}'
HEADERS = {"content-type": "application/json", "authorization": "Bearer k"}

Ask = Callable[[], Awaitable[object]]
Found = dict[str, float]


def make(kind: str) -> LeasedTransport:
    """The transport alone."""
    return LeasedTransport(parser="llhttp" if kind == "fast" else "h11")


async def rate(ask: Ask, *, size: int, total: int, warm: int = 1) -> Found:
    """Requests a second, `size` at a time, and the CPU microseconds of each."""

    async def worker(count: int) -> None:
        for _ in range(count):
            await ask()

    if warm:
        await asyncio.gather(*(worker(warm) for _ in range(size)))
    gc.collect()
    each = max(1, total // size)
    cpu, begin = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker(each) for _ in range(size)))
    count = each * size
    took = time.perf_counter() - begin
    return {"rate": count / took, "cpu": (time.process_time() - cpu) / count * 1e6}


async def agents(kind: str, base: str, options: dict[str, int]) -> Found:
    """Through `agent.arun`; `spared` as docs/how-to-daemon.md spares the cycle collector."""
    kind, _, spared = kind.partition("-")
    async with Runtime(transport=cast("Any", kind)):  # Any: the name of a transport
        if spared:
            gc.freeze()
            gc.set_threshold(5_000, 10, 10)
        agent = Agent("openai:m", base_url=base, api_key="k")
        return await rate(lambda: agent.arun("one two three"), **options)


async def raw(kind: str, base: str, options: dict[str, int]) -> Found:
    """Through the transport alone."""
    url = httpx.URL(f"{base}/chat/completions")
    async with make(kind) as transport:

        async def ask() -> None:
            request = httpx.Request("POST", url, headers=HEADERS, content=ASK % b"")
            response = await transport.handle_async_request(request)
            await response.aread()

        return await rate(ask, **options)


async def client(_: str, base: str, options: dict[str, int]) -> Found:
    """Through `httpx.AsyncClient`, with as many connections as it may need."""
    limits = httpx.Limits(max_connections=1_000, max_keepalive_connections=1_000)
    async with httpx.AsyncClient(limits=limits, timeout=120, trust_env=False) as asking:
        url = f"{base}/chat/completions"
        return await rate(lambda: asking.post(url, headers=HEADERS, content=ASK % b""), **options)


class Lags:
    """How long chunks were on their way; each carries the time at which it was written."""

    def __init__(self) -> None:
        self._all: list[int] = []
        self._cpu = time.process_time()

    def saw(self, text: str) -> None:
        """Some text: one or more tokens."""
        now = micros()
        self._all += [now - int(token) for token in text.split()]

    def found(self) -> Found:
        """Chunks, CPU microseconds of each, lags in milliseconds."""
        cpu = time.process_time() - self._cpu
        lags = sorted(self._all)
        count = len(lags)
        return {
            "chunks": count,
            "cpu": cpu / count * 1e6,
            "p50": lags[count // 2] / 1e3,
            "p99": lags[count * 99 // 100] / 1e3,
        }


async def apart(read: Callable[[], Awaitable[None]], size: int) -> None:
    """Begin within a second, evenly: streams that live at one time did not begin at one instant."""

    async def later(number: int) -> None:
        await asyncio.sleep(number / size)
        await read()

    await asyncio.gather(*(later(number) for number in range(size)))


async def streams(kind: str, base: str, options: dict[str, int]) -> Found:
    """Through `agent.astream`, nothing joined."""
    async with Runtime(transport=cast("Any", kind)):  # Any: the name of a transport
        agent = Agent("openai:m", base_url=base, api_key="k")
        lags = Lags()

        async def read() -> None:
            async with agent.astream("one two three", flush_interval=0) as stream:
                async for text in stream.atext():
                    lags.saw(text)

        await apart(read, options["size"])
        return lags.found()


async def raw_streams(kind: str, base: str, options: dict[str, int]) -> Found:
    """Through the transport alone; the text is cut out of the bytes."""
    url = httpx.URL(f"{base}/chat/completions")
    async with make(kind) as transport:
        lags = Lags()

        async def read() -> None:
            content = ASK % b',"stream":true'
            request = httpx.Request("POST", url, headers=HEADERS, content=content)
            response = await transport.handle_async_request(request)
            async for part in cast("httpx.AsyncByteStream", response.stream):
                for cut in part.split(b'"content":"')[1:]:
                    lags.saw(cut.partition(b'"')[0].decode())

        await apart(read, options["size"])
        return lags.found()


async def cancel(kind: str, base: str, _: dict[str, int]) -> Found:
    """When a stream was cancelled; the server knows when it saw that."""
    async with Runtime(transport=cast("Any", kind)):  # Any: the name of a transport
        agent = Agent("openai:m", base_url=base, api_key="k")
        async with agent.astream("one two three", flush_interval=0) as stream:
            seen = 0
            async for _text in stream.atext():
                seen += 1
                if seen == 5:
                    break
            at = micros()
            stream.cancel()
            await asyncio.sleep(0.05)
    return {"at": at}


CONTENDERS: dict[str, Callable[[str, str, dict[str, int]], Awaitable[Found]]] = {
    "agent": agents,
    "raw": raw,
    "client": client,
    "streams": streams,
    "rawstreams": raw_streams,
    "cancel": cancel,
}


def main() -> None:
    """Take it, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models_client", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("contender", help="WHAT-KIND, such as agent-fast")
    parser.add_argument("base_url")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--options", type=json.loads, default={})
    given = parser.parse_args()
    what, _, kind = given.contender.partition("-")
    factory = asyncio.new_event_loop
    if given.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(CONTENDERS[what](kind, given.base_url, given.options))))


if __name__ == "__main__":
    main()
