"""A spool loses nothing and writes nothing twice, wherever the process is killed."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from understudy import ConfigError
from understudy.tools.spool import KILLS, Spool


class KilledError(BaseException):
    """The process is no more: nothing that it would still have done happens."""


class Killer:
    """Lets so many calls to the system pass, and none after them."""

    def __init__(self, patch: pytest.MonkeyPatch, passes: int) -> None:
        self._left = passes
        for name in ("rename", "replace", "hardlink_to", "unlink", "open", "read_bytes"):
            patch.setattr(Path, name, self._counted(getattr(Path, name)))
        patch.setattr(os, "fsync", self._counted(os.fsync))

    def _counted(self, call: Any) -> Any:
        def counted(*args: Any, **options: Any) -> Any:
            if self._left <= 0:
                raise KilledError
            self._left -= 1
            return call(*args, **options)

        return counted


def work(spool: Spool) -> None:
    """What a process does: all there is; what says `bad` fails, `later` is given back."""
    for path in (*spool.interrupted(), *spool.waiting()):
        claim = spool.claim(path)
        if claim is None:
            continue
        if claim.done:
            claim.finish({})
        elif claim.worn_out or claim.text() == "bad":
            claim.fail("it is bad")
        else:
            claim.finish({"said": claim.text()})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A spool's folder with two documents."""
    Spool(tmp_path / "s").close()
    (tmp_path / "s" / "incoming" / "good").write_text("good")
    (tmp_path / "s" / "incoming" / "bad").write_text("bad")
    return tmp_path / "s"


@pytest.fixture
def spool(root: Path) -> Iterator[Spool]:
    """A process's hold of it."""
    with Spool(root) as held:
        yield held


def names(folder: Path) -> list[str]:
    """What is in a folder, without what was written beside its place."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def check(root: Path) -> dict[str, Any]:
    """All is done: one result, one failure, nothing else; gives the result."""
    assert names(root / "incoming") == names(root / "working") == []
    (result,) = names(root / "done")
    document, reason = names(root / "failed")
    assert document.startswith("bad.")
    assert reason == f"{document}.reason"
    assert (root / "failed" / document).read_text() == "bad"
    assert (root / "failed" / reason).read_text().endswith("it is bad\n")
    found: dict[str, Any] = json.loads((root / "done" / result).read_text())
    assert (found["document"], found["said"]) == ("good", "good"), "the first result stays"
    return found


def kills(root: Path) -> Iterator[int]:
    """One process after the other is killed, each a call later than the one before."""
    for passes in range(100):
        spool = Spool(root)
        with pytest.MonkeyPatch.context() as patch:
            Killer(patch, passes)
            try:
                work(spool)
            except KilledError:
                yield passes
            else:
                return
            finally:
                patch.undo()
                spool.close()
    raise AssertionError("it never gets through")


def test_a_kill_between_any_two_calls(tmp_path: Path) -> None:
    """For each place: killed there once, then started again, everything is there exactly once."""
    again = 0
    for passes in range(100):
        root = tmp_path / str(passes)
        spool = Spool(root)
        (root / "incoming" / "good").write_text("good")
        (root / "incoming" / "bad").write_text("bad")
        with pytest.MonkeyPatch.context() as patch:
            Killer(patch, passes)
            try:
                work(spool)
                killed = False
            except KilledError:
                killed = True
        spool.close()
        with_spool = Spool(root)
        work(with_spool)
        with_spool.close()
        result = check(root)
        again += result["again"]
        assert result["again"] == (result["attempt"] == 2)
        if not killed:
            break
    assert passes > 15, "it was killed in all those places"
    assert again >= 2


def test_killed_again_and_again(root: Path) -> None:
    """Killed at each start, a call later each time: it fails as worn out or is there once."""
    for _ in kills(root):
        pass
    documents = names(root / "failed") + names(root / "done")
    assert len([name for name in documents if name.startswith("good")]) in {1, 2}
    assert len([name for name in documents if name.startswith("bad")]) == 2
    assert names(root / "incoming") == names(root / "working") == []


def test_what_is_in_work_at_every_kill_fails(root: Path) -> None:
    """It may be what kills: after so many times it is claimed as worn out."""
    for attempt in range(1, KILLS + 2):
        spool = Spool(root)
        path = (spool.interrupted() or [root / "incoming" / "good"])[0]
        claim = spool.claim(path)
        assert claim is not None
        assert (claim.attempt, claim.worn_out) == (attempt, attempt > KILLS)
        spool.close()


def test_a_claim_has_one_owner(root: Path, spool: Spool) -> None:
    """The second who tries gets nothing."""
    path = root / "incoming" / "good"
    assert spool.claim(path) is not None
    assert spool.claim(path) is None


def test_the_same_document_again(root: Path, spool: Spool) -> None:
    """Same name and content: its result is there. Other content under the name: another result."""
    work(spool)
    for text in ("good", "better"):
        (root / "incoming" / "good").write_text(text)
        (path,) = spool.waiting()
        claim = spool.claim(path)
        assert claim is not None
        assert claim.done == (text == "good")
        claim.finish({"said": text})
    results = [json.loads(path.read_text()) for path in (root / "done").iterdir()]
    assert sorted(result["said"] for result in results) == ["better", "good"]


def test_giving_back(root: Path, spool: Spool) -> None:
    """As if it had not been claimed; never over another document that has come meanwhile."""
    claim = spool.claim(root / "incoming" / "good")
    assert claim is not None
    claim.give_back()
    assert names(root / "incoming") == ["bad", "good"]
    claim = spool.claim(root / "incoming" / "good")
    assert claim is not None
    assert claim.attempt == 1
    (root / "incoming" / "good").write_text("another")
    claim.give_back()
    assert (root / "incoming" / "good").read_text() == "another"
    (left,) = spool.interrupted()
    assert left.read_text() == "good"


def test_one_process_at_a_time(root: Path, spool: Spool) -> None:
    """A second one would take what the first has in work."""
    with pytest.raises(ConfigError, match="another process works on this spool"):
        Spool(root)
    spool.close()
    Spool(root).close()


def test_what_is_still_being_written_is_left_alone(root: Path, spool: Spool) -> None:
    """Names with a leading dot, folders and links are no documents."""
    (root / "incoming" / ".part").write_text("half")
    (root / "incoming" / "folder").mkdir()
    (root / "incoming" / "link").symlink_to("/etc/hostname")
    assert [path.name for path in spool.waiting()] == ["good", "bad"]


def test_odd_documents(root: Path, spool: Spool) -> None:
    """Bytes that are no text, a name that is too long, one with our own separator."""
    for name in ("x" * 250, "1~2~three", "bytes"):
        (root / "incoming" / name).write_bytes(b"\xff" if name == "bytes" else b"text")
        claim = spool.claim(root / "incoming" / name)
        assert claim is not None
        if name == "bytes":
            with pytest.raises(ValueError, match="utf-8"):
                claim.text()
            claim.fail("not a text")
            continue
        claim.finish({})
        assert claim.name == name or claim.name.startswith("x" * 100)
    assert len(names(root / "done")) == 2
    assert not spool.interrupted()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A clear error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used as a spool"):
        Spool(tmp_path / "file")
