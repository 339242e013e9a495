"""A spool: a folder as a queue of documents that survives whatever happens to the process.

    spool = Spool(Path("spool"))
    for path in (*spool.interrupted(), *spool.waiting()):
        claim = spool.claim(path)
        if claim is not None:
            claim.finish({"length": len(claim.text())})

A document is put into `incoming/` (written elsewhere on the same file system and renamed in; names
with a leading dot are left alone). Whoever renames it into `working/` has claimed it. Its result
goes to `done/` as JSON, or it goes to `failed/` with the reason beside it.

Guarantees, also when the process is killed between any two of its calls to the system
- No document is lost: it lies in `incoming/`, `working/` or `failed/` until its result is on disk.
- No result is written twice, and none by half: it is named after the document's content, written
  beside its place and linked into it. A document that comes again with the same name and content
  has its result already.
- What lies in `working/` when a process takes over was in work at a kill. It may be claimed again,
  its `attempt` says so, and after `kills` of them it fails: it may be what kills.
- One process at a time: a second one is refused, and the lock ends with its holder, however.

Assumes a local POSIX file system, where rename and link are atomic. A database would do as well;
this one can be read with `ls` and needs no server.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

from understudy.messages.errors import ConfigError

KILLS = 3
LONGEST = 200
"""Bytes of a name; longer ones are shortened, with a mark of what they were."""


class Spool:
    """See the module's docstring. Any thread.

    Args:
        root: the folder; made, with the four folders in it, if it is not there.
        kills: how often a document may be in work at a kill.

    Raises:
        ConfigError: another process works on it, or it cannot be made.
    """

    def __init__(self, root: Path, *, kills: int = KILLS) -> None:
        self.root, self.kills = root, kills
        self.incoming, self.working = root / "incoming", root / "working"
        self.done, self.failed = root / "done", root / "failed"
        try:
            for folder in (self.incoming, self.working, self.done, self.failed):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(root / ".lock")
        except BlockingIOError as error:
            msg = f"{root}: another process works on this spool; stop it, or use another folder"
            raise ConfigError(msg) from error
        except OSError as error:
            raise ConfigError(f"{root}: cannot be used as a spool: {error.strerror}") from error

    def waiting(self) -> list[Path]:
        """Documents that nobody has claimed, the oldest first."""
        return _listed(self.incoming)

    def interrupted(self) -> list[Path]:
        """Documents that are claimed: at the start of a process, those in work at a kill."""
        return _listed(self.working)

    def claim(self, path: Path) -> Claim | None:
        """Take a document that `waiting` or `interrupted` has named; None: somebody was faster."""
        try:
            # In working/ it is called attempt~inode~name: no other file there can have that name.
            if path.parent == self.working:
                before, inode, name = path.name.split("~", 2)
            else:
                before, inode, name = "0", str(path.stat().st_ino), path.name
            attempt, name = int(before) + 1, _short(name)
            claimed = path.rename(self.working / f"{attempt}~{inode}~{name}")
        except FileNotFoundError:
            return None
        return Claim(self, claimed, name, attempt)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have it."""
        self._lock.close()


class Claim:
    """A document in work; exactly one of `finish`, `fail`, `give_back` ends it.

    Attributes:
        name: what it was called in `incoming/`.
        attempt: 1, or how often it was claimed: all the times before ended with a kill.
        done: its result is there already; `finish` only clears up.
        worn_out: it was in work at so many kills that it should `fail`.
    """

    def __init__(self, spool: Spool, path: Path, name: str, attempt: int) -> None:
        self._spool = spool
        self._path = path
        self.name = name
        self.attempt = attempt
        self.worn_out = attempt > spool.kills
        self._unreadable = ""
        try:
            self._data = path.read_bytes()
            self._mark = _hash(self._data)
        except OSError as error:
            self._data, self._mark = b"", path.name.split("~", 2)[1]
            self._unreadable = f"it cannot be read: {error.strerror}"
        self._result = spool.done / f"{name}.{self._mark}.json"
        self.done = self._result.exists()

    def text(self) -> str:
        """What it says.

        Raises:
            ValueError: it cannot be read, or is not UTF-8.
        """
        if self._unreadable:
            raise ValueError(self._unreadable)
        return self._data.decode("utf-8-sig")

    def finish(self, facts: Mapping[str, Any]) -> None:  # Any: JSON
        """Write its result, with its name and attempt, and remove it."""
        told = {"document": self.name, "attempt": self.attempt, "again": self.attempt > 1, **facts}
        _put(self._result, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        self._path.unlink()

    def fail(self, reason: str) -> None:
        """Put it into `failed/`, with the reason beside it."""
        target = self._spool.failed / f"{self.name}.{self._mark}"
        _put(target.with_name(f"{target.name}.reason"), f"attempt {self.attempt}: {reason}\n")
        self._path.replace(target)

    def give_back(self) -> None:
        """Put it back as if it had not been claimed: it had no fault in the stop of its work."""
        try:
            (self._spool.incoming / self.name).hardlink_to(self._path)
        except FileExistsError:
            return  # another one of that name has come: this one is taken up at the next start
        self._path.unlink()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _short(name: str) -> str:
    """A name that still is one with what is put around it."""
    data = os.fsencode(name)
    if len(data) <= LONGEST:
        return name
    return f"{data[:LONGEST].decode(errors='ignore')[: LONGEST // 2]}-{_hash(data)}"


def _put(path: Path, text: str) -> None:
    """Write a file whole or not at all, once, and have it on disk before anything else happens."""
    beside = path.with_name(f".{path.name}")
    beside.unlink(missing_ok=True)  # left by a kill; it may be the very file that is in place
    with beside.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        pass  # of the same content, from before a kill
    finally:
        beside.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _listed(folder: Path) -> list[Path]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    found.append((entry.stat().st_mtime, entry.name))
            except FileNotFoundError:
                continue  # claimed meanwhile
    return [folder / name for _, name in sorted(found)]


def _locked(path: Path) -> IO[str]:
    import fcntl

    file = path.open("w", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    return file
