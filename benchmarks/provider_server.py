"""How fast the server is that other benchmarks measure against: it must not be what they measure.

    python -m benchmarks.provider_server

Bare sockets, 64 of them, one request at a time each; the server in a process of its own. Beside the
answers a second stands the server's CPU time for each, which does not count waiting for a core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from understudy.testing import provider_process

CASES: dict[str, tuple[tuple[str, ...], bool]] = {
    "one text, whole": (("--answer", "this is what it always says"), False),
    "one text, streamed": (("--answer", "this is what it always says"), True),
    "an echo, whole": ((), False),
    "an echo, streamed": ((), True),
    "an echo after 10 ms": (("--latency", "0.01"), False),
    "an echo with limits": (
        ("--requests-per-minute", "1e9", "--tokens-per-minute", "1e9"), False,
    ),
}  # fmt: skip
"""The options of the server, and whether answers are streamed."""
END = b"0\r\n\r\n"


class Asker(asyncio.Protocol):
    """Asks as soon as it has its answer."""

    answers = 0

    def __init__(self, *, stream: bool) -> None:
        said = [{"role": "user", "content": "hello there world"}]
        body = json.dumps({"model": "m", "messages": said, "stream": stream}).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\n"
            "user-agent: benchmark\r\nauthorization: Bearer key\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._stream = stream
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Ask again when the answer is whole; whole ones fit into one packet."""
        if self._stream:
            self._got = self._got[-len(END) :] + data
            if not self._got.endswith(END):
                return
        Asker.answers += 1
        self.transport.write(self._request)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(options: tuple[str, ...], seconds: float, *, stream: bool) -> tuple[float, float]:
    """Answers a second, and microseconds of the server's CPU for each."""
    loop = asyncio.get_running_loop()
    async with provider_process(*options) as server:
        port = urlsplit(server.url).port
        askers = [
            await loop.create_connection(lambda: Asker(stream=stream), "127.0.0.1", port)
            for _ in range(64)
        ]
        await asyncio.sleep(0.5)
        Asker.answers = 0
        cpu, begin = cpu_of(server.pid), time.perf_counter()
        await asyncio.sleep(seconds)
        took, used, count = time.perf_counter() - begin, cpu_of(server.pid) - cpu, Asker.answers
        for transport, _ in askers:
            transport.abort()
    return count / took, used / count * 1e6


async def main(seconds: float) -> None:
    """All cases, a line each."""
    print("| answers | a second | CPU of the server, us |\n|---|---|---|")
    for name, (options, stream) in CASES.items():
        rate, cpu = await measure(options, seconds, stream=stream)
        print(f"| {name} | {rate:,.0f} | {cpu:.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    asyncio.run(main(parser.parse_args().seconds))
