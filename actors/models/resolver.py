"""Host names to addresses without an executor.

`loop.getaddrinfo` runs in the loop's default executor, whose threads the interpreter joins when it
exits: one lookup that hangs in the system's resolver then hangs the whole process. Here a lookup
runs on a daemon thread of its own, and lookups of one name at one time share it: a burst of
connections costs one thread. Nothing is kept afterwards; caching names is the operating system's
business.

Literal addresses never leave the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable

Lookup = Callable[[str, int], list[str]]


def system_lookup(host: str, port: int) -> list[str]:
    """Ask the operating system; blocks. Addresses come in the order it prefers.

    Raises:
        OSError: the name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver:
    """Resolves on daemon threads, one lookup a name at a time. Belongs to one event loop."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._running: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def resolve(self, host: str, port: int) -> list[str]:
        """Addresses of `host`, best first.

        Raises:
            OSError: the name does not resolve.
        """
        if _is_literal(host):
            return [host]
        key = (host, port)
        future = self._running.get(key)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._running[key] = future
            threading.Thread(
                target=self._work,
                args=(key, asyncio.get_running_loop()),
                name=f"understudy-resolve-{host}",
                daemon=True,
            ).start()
        # Shielded: a caller that gives up must not take the others' lookup with it.
        return await asyncio.shield(future)

    def _work(self, key: tuple[str, int], loop: asyncio.AbstractEventLoop) -> None:
        found: list[str] | OSError
        try:
            found = self._lookup(*key)
        except OSError as error:
            found = error
        except UnicodeError as error:  # a label that is empty or too long for IDNA
            found = OSError(f"not a host name: {error}")
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(self._finish, key, found)

    def _finish(self, key: tuple[str, int], found: list[str] | OSError) -> None:
        future = self._running.pop(key)
        if isinstance(found, OSError):
            future.set_exception(found)
            future.exception()  # all callers may have given up; then nobody else would look at it
        else:
            future.set_result(found)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
