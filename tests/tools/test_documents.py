import os
import pickle
from pathlib import Path

import msgspec
import pytest

from understudy.messages.errors import UnderstudyError, to_wire
from understudy.tools.documents import (
    Document,
    DocumentError,
    Found,
    Problem,
    find_documents,
    read_document,
)
from understudy.tools.texts import MAX_BYTES


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with documents in some folders and machinery in others; the current folder."""
    for path in (
        *("b.md", "a.TXT", "c.rst", "z/page.html", "d/x/mod.py", "d/a.md", "d/B.md"),
        *(".git/a.md", ".venv/a.md", "node_modules/a.md", "build/a.md", "d/__pycache__/a.md"),
        *(".hidden.md", "image.png", "d/data.json"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('"""Some text."""')
    (tmp_path / "d/__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(found: Found) -> list[str]:
    """The paths of the documents."""
    return [document.path for document in found.documents]


def reasons(found: Found) -> dict[str, str]:
    """The problems by path; each must have a remedy."""
    assert all(problem.remedy for problem in found.problems)
    return {problem.path: problem.reason for problem in found.problems}


def test_a_folder_is_walked_in_order_without_machinery(tree: Path) -> None:
    """Files before folders, by name; hidden and generated folders are not entered."""
    found = find_documents(["."])
    assert listed(found) == [
        *("./a.TXT", "./b.md", "./c.rst", "./d/B.md", "./d/a.md", "./d/x/mod.py", "./z/page.html")
    ]
    assert [document.folder for document in found.documents][2:5] == [".", "./d", "./d"]
    assert not found.problems
    assert msgspec.json.decode(msgspec.json.encode(found), type=Found) == found


def test_paths_stay_as_they_were_named(tree: Path) -> None:
    """A digest shows the paths that its reader typed."""
    assert listed(find_documents(["d/", "b.md", str(tree / "z")])) == [
        *("d/B.md", "d/a.md", "d/x/mod.py", "b.md", str(tree / "z/page.html"))
    ]
    (document, *_) = find_documents("b.md").documents
    assert document == Document(path="b.md", folder=".", size=16)


def test_a_skipped_folder_is_read_when_it_is_named(tree: Path) -> None:
    """Who names build/ means it."""
    assert listed(find_documents(["build", ".git"])) == ["build/a.md", ".git/a.md"]


def test_what_is_named_twice_is_listed_once(tree: Path) -> None:
    """Overlapping paths and links do not double a document, and are no problem."""
    (tree / "d/link.md").symlink_to(tree / "b.md")
    found = find_documents(["b.md", "./b.md", "d", "d", "d/x", "z", "."])
    assert sorted(Path(path).name for path in listed(found)) == [
        *("B.md", "a.TXT", "a.md", "b.md", "c.rst", "mod.py", "page.html")
    ]
    assert not found.problems


def test_loops_of_links_end(tree: Path) -> None:
    """A link to a folder above is entered once; a link to itself leads nowhere."""
    (tree / "d/up").symlink_to(tree)
    (tree / "d/self").symlink_to("self")
    (tree / "d/lost.md").symlink_to("nowhere")
    found = find_documents(["d"])
    assert len({Path(path).resolve() for path in listed(found)}) == len(found.documents) == 7
    assert reasons(found) == {"d/lost.md": "the link leads nowhere"}


def test_paths_that_are_no_documents_are_problems_and_the_rest_is_listed(tree: Path) -> None:
    """Each path that cannot be digested has its reason; nothing stops the others."""
    (tree / "empty.md").touch()
    (tree / "nothing/here").mkdir(parents=True)
    with (tree / "big.txt").open("wb") as file:
        file.truncate(5 * MAX_BYTES)
    os.mkfifo(tree / "pipe.txt")
    nowhere = ["gone", "b.md/x", "a\0b", "a\ud800", ""]
    others = ["big.txt", "nothing", "image.png", "pipe.txt", "d/__init__.py"]
    found = find_documents([*nowhere, "empty.md", *others, "b.md"])
    assert listed(found) == ["b.md"]
    assert reasons(found) == {
        "gone": "there is no such file or folder",
        "b.md/x": "there is no such file or folder",
        "a\0b": "no file can have this name",
        "a\\ud800": "no file can have this name",
        "": "the path is empty",
        "empty.md": "the file is empty",
        "big.txt": "the file has 50,000,000 bytes, the limit is 10,000,000",
        "nothing": "there are no documents in this folder",
        "image.png": "this kind of file is not read",
        "pipe.txt": "it is not a regular file",
        "d/__init__.py": "the file is empty",
    }
    assert str(found.problems[0]) == "gone: there is no such file or folder; check the spelling"


def test_no_paths_is_a_problem() -> None:
    """An empty list is said to be one, not digested to an empty page."""
    assert reasons(find_documents([])) == {"": "no paths were given"}


def test_a_name_that_is_not_utf8_can_still_be_shown(tree: Path) -> None:
    """Such a path cannot be encoded, so it is a problem whose path is escaped."""
    try:
        Path(os.fsdecode(b"caf\xe9.md")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = find_documents(["."])
    assert reasons(found) == {"./caf\\xe9.md": "the name is not UTF-8"}
    assert msgspec.json.encode(found)


def test_a_folder_that_may_not_be_read_is_a_problem(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No permission is said as such; the other folders are listed."""

    def refuse(path: str) -> object:
        if path == "./d":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", refuse)
    found = find_documents(["."])
    assert reasons(found) == {"./d": "it may not be read"}
    assert listed(found) == ["./a.TXT", "./b.md", "./c.rst", "./z/page.html"]


def test_a_document_is_read_as_text(tree: Path) -> None:
    """By its kind: Python gives docstrings, a note all of it."""
    by_name = {Path(d.path).name: read_document(d) for d in find_documents(["."]).documents}
    assert by_name["mod.py"] == "Some text."
    assert by_name["a.TXT"] == '"""Some text."""'


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gone.md", "there is no such file or folder"),
        ("d.md", "it is not a regular file"),
        ("bad.md", "it is not UTF-8: byte 0xff at offset 1"),
        ("empty.md", "the file is empty"),
    ],
)
def test_what_changed_since_it_was_found_is_an_error_with_path_and_remedy(
    tree: Path, path: str, reason: str
) -> None:
    """The error names path, reason and remedy, is also data, and crosses processes."""
    (tree / "d.md").mkdir()
    (tree / "bad.md").write_bytes(b"a\xff")
    (tree / "empty.md").touch()
    with pytest.raises(DocumentError) as caught:
        read_document(Document(path=path, folder=".", size=1))
    error = caught.value
    assert isinstance(error, UnderstudyError)
    assert error.problem == Problem(path=path, reason=reason, remedy=error.remedy)
    assert str(error) == f"{path}: {reason}; {error.remedy}"
    assert pickle.loads(pickle.dumps(error)).problem == error.problem
    assert to_wire(error).facts["path"] == path


def test_a_file_that_may_not_be_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No permission is said as such."""

    def refuse(path: Path, mode: str) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DocumentError, match=r"b\.md: it may not be read; give read permission"):
        read_document(Document(path="b.md", folder=".", size=16))


def test_a_file_that_grows_is_not_read_beyond_what_was_checked(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size is checked before reading, and bounds the reading."""
    status = (tree / "b.md").stat()
    (tree / "b.md").write_text("x" * 100_000)
    monkeypatch.setattr(Path, "stat", lambda _: status)
    text = read_document(Document(path="b.md", folder=".", size=16))
    assert len(text) == status.st_size + 1
