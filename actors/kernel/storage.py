"""The storage port: bytes under names, for whatever outlives a process.

Guarantees: a `put` is seen whole or not at all, also by another process and after a crash (it is
written beside and renamed); operations of one storage happen one after the other, in the order in
which they were asked for. Keys are any text; what they mean is their owner's business.

Why no database: what is kept here is written rarely and read as a whole. Why a thread of its own
and no executor: executors join their threads when the interpreter exits, so that one hanging disk
would keep the process from ending.
"""

from __future__ import annotations

import os
import threading
from _thread import allocate_lock
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, unquote

from understudy.actors.kernel.reply import Reply
from understudy.messages.errors import ConfigError

T = TypeVar("T")

_SUFFIX = ".bin"
_LONGEST = 255


class Storage(Protocol):
    """Where bytes are kept by key."""

    async def get(self, key: str) -> bytes | None:
        """What is kept under `key`, or None."""
        ...

    async def put(self, key: str, value: bytes) -> None:
        """Keep `value`, in place of what was there."""
        ...

    async def delete(self, key: str) -> bool:
        """Forget `key`; False when there was nothing."""
        ...

    async def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        ...

    async def aclose(self) -> None:
        """Finish what was asked for, then take nothing more."""
        ...


class FolderStorage:
    """A file for each key in one folder, which is made when first needed.

    Its operations run on a daemon thread of its own, made at the first one; await them on any loop.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = Path(path)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = allocate_lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """See `Storage.get`."""
        path = self._path(key)

        def read() -> bytes | None:
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

        return await self._do(read)

    async def put(self, key: str, value: bytes) -> None:
        """See `Storage.put`; on disk when it returns.

        Raises:
            ConfigError: the key is empty, or too long for a file name.
            OSError: the disk is full, the folder cannot be written, ...
        """
        path = self._path(key)

        def write() -> None:
            self._folder.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{os.getpid()}-{id(self):x}.part")
            with beside.open("wb") as file:
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)

        await self._do(write)

    async def delete(self, key: str) -> bool:
        """See `Storage.delete`."""
        path = self._path(key)

        def remove() -> bool:
            try:
                path.unlink()
            except FileNotFoundError:
                return False
            return True

        return await self._do(remove)

    async def keys(self, prefix: str = "") -> list[str]:
        """See `Storage.keys`."""

        def names() -> list[str]:
            try:
                files = [file.name for file in self._folder.iterdir()]
            except FileNotFoundError:
                return []
            known = (unquote(f.removesuffix(_SUFFIX)) for f in files if f.endswith(_SUFFIX))
            return sorted(key for key in known if key.startswith(prefix))

        return await self._do(names)

    async def aclose(self) -> None:
        """See `Storage.aclose`."""
        with self._lock:
            thread, self._closed = self._thread, True
        if thread is not None:
            ended: Reply[None] = Reply()
            self._jobs.put(lambda: ended.set(None))
            self._jobs.put(None)
            await ended

    def _path(self, key: str) -> Path:
        name = quote(key, safe="", errors="surrogatepass") + _SUFFIX
        if not key or len(name) > _LONGEST:
            wrong = "is empty" if not key else f"makes a file name of {len(name)} bytes"
            raise ConfigError(f"the key {key[:40]!r} {wrong}; 1 to {_LONGEST - 4} are possible")
        return self._folder / name

    def _do(self, work: Callable[[], T]) -> Reply[T]:
        reply: Reply[Any] = Reply()  # Any: T; the error goes the same way

        def job() -> None:
            try:
                value = work()
            except BaseException as error:
                reply.set_exception(error)
            else:
                reply.set(value)

        with self._lock:
            if self._closed:
                raise ConfigError(f"the storage in {self._folder} is closed")
            if self._thread is None:
                name = f"understudy-storage-{self._folder.name}"
                self._thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._thread.start()
            self._jobs.put(job)
        return reply

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
