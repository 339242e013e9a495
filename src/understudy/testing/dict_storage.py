"""`DictStorage`: the storage port in a dictionary, for tests."""

from __future__ import annotations

from understudy.messages.errors import ConfigError


class DictStorage:
    """See `understudy.actors.kernel.storage.Storage`; `values` may be read and written directly."""

    def __init__(self, values: dict[str, bytes] | None = None) -> None:
        self.values: dict[str, bytes] = {} if values is None else values
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """See `Storage.get`."""
        self._check(key)
        return self.values.get(key)

    async def put(self, key: str, value: bytes) -> None:
        """See `Storage.put`."""
        self._check(key)
        self.values[key] = bytes(value)

    async def delete(self, key: str) -> bool:
        """See `Storage.delete`."""
        self._check(key)
        return self.values.pop(key, None) is not None

    async def keys(self, prefix: str = "") -> list[str]:
        """See `Storage.keys`."""
        self._check("any")
        return sorted(key for key in self.values if key.startswith(prefix))

    async def aclose(self) -> None:
        """See `Storage.aclose`."""
        self._closed = True

    def _check(self, key: str) -> None:
        if self._closed:
            msg = "the storage is closed"
            raise ConfigError(msg)
        if not key:
            msg = "the key '' is empty"
            raise ConfigError(msg)
