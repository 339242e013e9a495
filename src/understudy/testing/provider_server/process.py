"""A `ProviderServer` in a process of its own, so that it does not share a core with what it tests.

    async with provider_process("--latency", "0.1") as server:
        agent = Agent("openai:m", base_url=server.base_url, api_key="k")
        ...
        print((await server.stats()).connections.peak)

It is the command line's `provider-server`, started with the interpreter that runs this, and needs
what the command line needs (the extra `cli`). Leaving the block ends it; it also ends when the
process that started it goes away, because it watches its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import msgspec

from understudy.messages.errors import UnderstudyError
from understudy.testing.provider_server.records import ServerStats
from understudy.testing.provider_server.server import STATS_PATH

_STARTS_WITHIN = 30.0
_ENDS_WITHIN = 5.0
_decode = msgspec.json.Decoder(ServerStats).decode


class ProviderProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A server that runs elsewhere.

    Attributes:
        url: the `base_url` of Anthropic's and Ollama's clients.
        pid: of its process.
    """

    url: str
    pid: int

    @property
    def base_url(self) -> str:
        """The `base_url` of clients of OpenAI's protocols."""
        return f"{self.url}/v1"

    async def stats(self) -> ServerStats:
        """What it has counted so far, this question and its connection included."""
        address = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(f"GET {STATS_PATH} HTTP/1.1\r\nconnection: close\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return _decode(answer.partition(b"\r\n\r\n")[2])


@contextlib.asynccontextmanager
async def provider_process(*options: str) -> AsyncGenerator[ProviderProcess, None]:
    """Run `understudy provider-server` with these options for as long as the block lasts.

    Raises:
        UnderstudyError: it did not start; with what it said.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "understudy", "provider-server", "--until-eof", *options,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield ProviderProcess(url=await _address(process), pid=process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_ENDS_WITHIN):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        async with asyncio.timeout(_STARTS_WITHIN):
            line = (await process.stdout.readline()).decode().strip()
    except TimeoutError:
        line = ""
    if line.startswith("http://"):
        return line
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    _, said = await process.communicate()
    told = said.decode("utf-8", "replace").strip() or f"it ended with code {process.returncode}"
    raise UnderstudyError(f"provider-server did not start: {told}")
