import asyncio
import socket

import pytest

from understudy import Agent, ConnectError, Runtime
from understudy.testing import ProviderServer, block_network

pytestmark = pytest.mark.anyio
ELSEWHERE = "http://api.example.invalid/v1"
ADDRESS = "http://192.0.2.1/v1"


@pytest.mark.parametrize("base_url", [ELSEWHERE, ADDRESS])
def test_an_agent_cannot_leave_the_machine(runtime: Runtime, base_url: str) -> None:
    """On the runtime's own loop (uvloop's where it is installed) no provider can be reached."""
    agent = Agent("openai-compatible:m", base_url=base_url)
    with block_network(), pytest.raises(ConnectError, match="the network is blocked"):
        runtime.run(agent, "?", timeout=10)


@pytest.mark.parametrize("base_url", [ELSEWHERE, ADDRESS])
async def test_nor_on_a_loop_of_asyncio(base_url: str) -> None:
    """The same on asyncio's own loop."""
    agent = Agent("openai-compatible:m", base_url=base_url)
    async with Runtime() as rt:
        with block_network(), pytest.raises(ConnectError, match="the network is blocked"):
            await rt.arun(agent, "?", timeout=10)


def test_loopback_stays_open(runtime: Runtime) -> None:
    """A provider on this machine can be used."""
    with block_network(), ProviderServer(["hello"]) as server:
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        assert runtime.run(agent, "?").output == "hello"


def test_plain_sockets_are_guarded_and_freed() -> None:
    """Sockets of Python are refused inside, names too, and are themselves again afterwards."""
    before = socket.socket.connect, socket.getaddrinfo
    with block_network(), socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        with pytest.raises(ConnectionRefusedError, match=r"192\.0\.2\.1"):
            tcp.connect(("192.0.2.1", 80))
        with pytest.raises(ConnectionRefusedError):
            tcp.connect_ex(("192.0.2.1", 80))
        with pytest.raises(ConnectionRefusedError):
            udp.sendto(b"x", ("192.0.2.1", 53))
        with pytest.raises(ConnectionRefusedError, match="example"):
            socket.getaddrinfo("example.invalid", 80)
        assert socket.getaddrinfo("localhost", 80)
    assert (socket.socket.connect, socket.getaddrinfo) == before


async def test_streams_of_asyncio_are_guarded() -> None:
    """What a tool of yours opens with asyncio is refused too."""
    with block_network(), pytest.raises(OSError, match="the network is blocked"):
        await asyncio.open_connection("192.0.2.1", 80)
