"""`block_network()`: nothing leaves this machine.

    with block_network():
        agent.run("Hello")          # ConnectError, at once, whatever keys the environment holds

Loopback stays open, so `ProviderServer` works. It guards the sockets of Python and the event loops
(uvloop's too, which uses none of Python's); a C library with sockets of its own is out of reach.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock


@contextmanager
def block_network() -> Generator[None, None, None]:
    """Refuse every connection and every name that is not this machine, in the whole process."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    sendto, look_up = socket.socket.sendto, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:  # Any: depends on the family
        _check(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:  # Any: as above
        _check(self, address)
        return connect_ex(self, address)

    def guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> int:  # Any: as above
        _check(self, rest[-1])
        return sendto(self, data, *rest)

    def guarded_look_up(host: Any, *rest: Any, **options: Any) -> Any:  # Any: as getaddrinfo
        _check_host(host)
        return look_up(host, *rest, **options)

    with ExitStack() as stack:
        for owner, name, guard in (
            (socket.socket, "connect", guarded_connect),
            (socket.socket, "connect_ex", guarded_connect_ex),
            (socket.socket, "sendto", guarded_sendto),
            (socket, "getaddrinfo", guarded_look_up),
        ):
            stack.enter_context(mock.patch.object(owner, name, guard))
        _guard_uvloop(stack)
        yield


def _guard_uvloop(stack: ExitStack) -> None:
    try:
        from uvloop import Loop
    except ImportError:
        return
    connect, look_up = Loop.create_connection, Loop.getaddrinfo

    # Any: the arguments and results of the loop's own methods
    async def guarded_connect(
        self: Any, factory: Any, host: Any = None, *rest: Any, **options: Any
    ) -> Any:
        if host is not None:
            _check_host(host)
        return await connect(self, factory, host, *rest, **options)

    async def guarded_look_up(self: Any, host: Any, *rest: Any, **options: Any) -> Any:
        _check_host(host)
        return await look_up(self, host, *rest, **options)

    stack.enter_context(mock.patch.object(Loop, "create_connection", guarded_connect))
    stack.enter_context(mock.patch.object(Loop, "getaddrinfo", guarded_look_up))


def _check(sock: socket.socket, address: Any) -> None:  # Any: depends on the family
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        _check_host(address[0])


def _check_host(host: Any) -> None:  # Any: text, bytes or None, as the socket functions take it
    text = host.decode() if isinstance(host, bytes) else host
    if text in (None, "", "localhost") or str(text).endswith(".localhost"):
        return
    try:
        if ipaddress.ip_address(str(text).partition("%")[0]).is_loopback:
            return
    except ValueError:
        pass  # a name, and not one of this machine
    msg = f"the network is blocked: nothing may connect to {text!r} here"
    raise ConnectionRefusedError(msg)
