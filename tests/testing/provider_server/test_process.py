import asyncio
import os

import pytest

from understudy import UnderstudyError
from understudy.testing.provider_server import provider_process

pytestmark = pytest.mark.anyio


async def test_it_serves_and_counts_from_a_process_of_its_own() -> None:
    """Its address and its counts come over; it is gone when the block is left."""
    async with provider_process("--answer", "hello") as server:
        assert server.pid != os.getpid()
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = b'{"model": "m", "messages": []}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\n"
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert b'"content":"hello"' in await reader.read()
        writer.close()
        await writer.wait_closed()
        stats = await server.stats()
        assert (stats.requests, stats.answered, stats.connections.total) == (2, 1, 2)
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(host, int(port))


async def test_what_keeps_it_from_starting_is_told() -> None:
    """In the words of the command."""
    with pytest.raises(UnderstudyError, match="no fault is called 'nonsense'"):
        async with provider_process("--faults", "nonsense=1"):
            pass
