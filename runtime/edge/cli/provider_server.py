"""`understudy provider-server`: a provider on loopback, for whoever speaks HTTP.

Its address is the only thing that goes to standard output, once it listens. It ends on SIGINT or
SIGTERM, which is how it is meant to end (exit code 0), and tells on standard error what it has
counted.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Callable

import msgspec

from understudy.messages.errors import ConfigError
from understudy.runtime.edge.cli import EXIT_FAILED
from understudy.runtime.edge.cli.output import write
from understudy.testing.provider_server.limits import Limits
from understudy.testing.provider_server.mix import FaultMix, parse_rates
from understudy.testing.provider_server.server import ProviderServer
from understudy.testing.provider_server.service import PROTOCOLS


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for; see `ProviderServer`."""

    port: int = 0
    protocols: tuple[str, ...] = PROTOCOLS
    answer: str | None = None
    latency: str = "0"
    tokens_per_second: float | None = None
    limits: Limits = Limits()
    faults: str = ""
    seed: int = 0
    models: tuple[str, ...] = ()
    api_key: str | None = None
    until_eof: bool = False


def serve(order: Order) -> int:
    """Serve until a signal comes.

    Raises:
        ConfigError: an option makes no sense.
    """
    server = ProviderServer(
        order.answer,
        faults=FaultMix(parse_rates(order.faults), seed=order.seed),
        latency=parse_latency(order.latency),
        tokens_per_second=order.tokens_per_second,
        limits=None if order.limits == Limits(burst=order.limits.burst) else order.limits,
        models=order.models,
        api_key=order.api_key,
        protocols=order.protocols or PROTOCOLS,
        record=False,
        seed=order.seed,
        port=order.port,
    )
    return asyncio.run(_serve(server, until_eof=order.until_eof))


def parse_latency(text: str) -> float | Callable[[random.Random], float]:
    """Seconds, or two numbers between which each latency is drawn: `0.05:0.2`.

    Raises:
        ConfigError: it is neither.
    """
    low, separator, high = text.partition(":")
    try:
        least, most = float(low), float(high if separator else low)
    except ValueError:
        least, most = -1.0, -1.0
    if not 0 <= least <= most < float("inf"):
        raise ConfigError(f"--latency {text!r}: give seconds, as 0.1 or 0.05:0.2")
    return (lambda draw: draw.uniform(least, most)) if separator else least


async def _serve(server: ProviderServer, *, until_eof: bool) -> int:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    if until_eof:
        # Read by the loop and not by a thread, which would hold up the end of the process.
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        ending = loop.create_task(_when_it_ends(reader, over))
    try:
        async with server:
            wrong = write(f"{server.url}\n".encode())
            if wrong:
                sys.stderr.write(f"understudy: {wrong}\n")
                return EXIT_FAILED
            await over.wait()
            told = server.stats
    except OSError as error:
        sys.stderr.write(f"understudy: cannot listen: {error.strerror}\n")
        return EXIT_FAILED
    finally:
        if until_eof:
            ending.cancel()
    sys.stderr.write(
        f"{told.requests} requests ({told.answered} answered, {told.failed} broken off, "
        f"{told.disconnected} left by the client), {told.limited} over a limit, "
        f"{told.connections.total} connections, {told.connections.peak} at most at a time\n"
    )
    return 0


async def _when_it_ends(reader: asyncio.StreamReader, over: asyncio.Event) -> None:
    while await reader.read(1024):
        pass
    over.set()
