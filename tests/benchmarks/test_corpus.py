import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from understudy.actors.rules.extractive import summarise_now
from understudy.tools.documents import find_documents, read_document


@pytest.fixture(scope="module")
def corpus() -> ModuleType:
    """The generator, loaded by its path: the root is not on `sys.path`."""
    path = Path(__file__).parents[2] / "benchmarks" / "corpus.py"
    spec = importlib.util.spec_from_file_location("corpus", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_arguments_give_the_same_bytes(corpus: ModuleType, tmp_path: Path) -> None:
    """The bytes are pinned, so that figures of different days and machines compare."""
    made = corpus.make_corpus(tmp_path / "a", files=30, size_bytes=300_000)
    data = b"".join(path.read_bytes() for path in made)
    assert len(made) == 30
    assert len(data) == 300_000
    assert hashlib.sha256(data).hexdigest()[:16] == "bfdb508fd325805d"
    other = corpus.make_corpus(tmp_path / "b", files=30, size_bytes=300_000, seed=8)
    assert data != b"".join(path.read_bytes() for path in other)


def test_a_corpus_reads_like_documents(corpus: ModuleType, tmp_path: Path) -> None:
    """Every file is found, read and summarised by several sentences."""
    corpus.make_corpus(tmp_path, files=25, size_bytes=250_000)
    found = find_documents([str(tmp_path)])
    assert len(found.documents) == 25
    assert not found.problems
    for document in found.documents:
        summary = summarise_now(read_document(document), 200)
        assert len(summary.sentences) >= 3
        assert not summary.truncated


def test_a_corpus_of_less_than_a_byte_a_file_is_refused(corpus: ModuleType, tmp_path: Path) -> None:
    """A mistake in the arguments is named."""
    with pytest.raises(ValueError, match="at least one byte a file"):
        corpus.make_corpus(tmp_path, files=10, size_bytes=9)
