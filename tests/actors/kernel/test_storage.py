import asyncio
from pathlib import Path

import pytest

from understudy.actors.kernel.storage import FolderStorage, Storage
from understudy.messages.errors import ConfigError
from understudy.testing import DictStorage

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["folder", "dict"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Both implementations of the port."""
    return (
        FolderStorage(tmp_path / "made" / "when needed")
        if request.param == "folder"
        else DictStorage()
    )


async def test_what_was_put_can_be_got(storage: Storage) -> None:
    """Bytes come back under any key; there is nothing under another; the last one stays."""
    for key in ("plain", "with/slash", "..", ".", "ümläut \U0001f600", "a:b?*", "UPPER"):
        assert await storage.get(key) is None
        await storage.put(key, key.encode())
        await storage.put(key, b"\x00" + key.encode())
        assert await storage.get(key) == b"\x00" + key.encode()
    await storage.aclose()


async def test_keys_are_listed_by_prefix_and_sorted(storage: Storage) -> None:
    """A prefix is a prefix of the text, wherever its slashes are."""
    assert await storage.keys() == []
    for key in ("b/2", "b/1", "a", "b", "c%2F"):
        await storage.put(key, b"x")
    assert await storage.keys("b/") == ["b/1", "b/2"]
    assert await storage.keys() == ["a", "b", "b/1", "b/2", "c%2F"]
    await storage.aclose()


async def test_deleting_says_whether_there_was_something(storage: Storage) -> None:
    """A deleted key is gone, once."""
    await storage.put("a", b"x")
    assert await storage.delete("a")
    assert not await storage.delete("a")
    assert await storage.get("a") is None
    await storage.aclose()


async def test_a_closed_storage_says_so(storage: Storage) -> None:
    """After the end nothing is taken; an empty key never is."""
    with pytest.raises(ConfigError, match="empty"):
        await storage.put("", b"x")
    await storage.put("a", b"x")
    await storage.aclose()
    with pytest.raises(ConfigError, match="closed"):
        await storage.get("a")


async def test_a_crash_while_writing_leaves_the_old_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value is replaced by a rename, so whoever reads sees the old one or the new one."""
    storage = FolderStorage(tmp_path)
    await storage.put("key", b"old")
    monkeypatch.setattr(Path, "replace", _fails)
    with pytest.raises(OSError, match="crash"):
        await storage.put("key", b"new")
    monkeypatch.undo()
    assert await storage.get("key") == b"old"
    assert await storage.keys() == ["key"]
    assert await FolderStorage(tmp_path).get("key") == b"old"
    await storage.aclose()


def _fails(self: Path, target: Path) -> Path:
    raise OSError("crash")


async def test_a_key_too_long_for_a_file_name_is_refused(tmp_path: Path) -> None:
    """The error names the key and the bound."""
    storage = FolderStorage(tmp_path)
    with pytest.raises(ConfigError, match=r"'kkk.*304 bytes.*251 are possible"):
        await storage.put("k" * 300, b"x")


async def test_operations_happen_in_order(tmp_path: Path) -> None:
    """Many puts of one key, not awaited in between, end with the last; closing finishes them."""
    storage = FolderStorage(tmp_path)
    tasks = [asyncio.ensure_future(storage.put("key", b"%d" % n)) for n in range(20)]
    await asyncio.sleep(0)
    await storage.aclose()
    await asyncio.gather(*tasks)
    assert await FolderStorage(tmp_path).get("key") == b"19"
