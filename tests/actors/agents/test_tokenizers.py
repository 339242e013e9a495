import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from understudy.actors.agents import tokenizers
from understudy.actors.agents.tokenizers import ESTIMATE, best_tokenizer


class Encoding:
    """One token for each word."""

    def encode_ordinary(self, text: str) -> list[str]:
        """The tokens."""
        return text.split()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Tiktoken is installed, and keeps its vocabularies in this folder."""
    module = SimpleNamespace(get_encoding=lambda _: Encoding())
    monkeypatch.setitem(sys.modules, "tiktoken", module)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_without_tiktoken_it_is_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which says so by its name."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    assert best_tokenizer() is ESTIMATE
    assert ESTIMATE.name == "estimate"


def test_tiktoken_counts_where_it_has_its_vocabulary(installed: Path) -> None:
    """Nothing is fetched for it: without the file it is the estimate."""
    assert best_tokenizer() is ESTIMATE
    name = "fb374d419588a4632f3f557e76b4b70aebbca790"
    (installed / name).touch()
    best = best_tokenizer()
    assert best.name == "tiktoken:o200k_base"
    assert best.count("three words here") == 3


def test_the_folder_is_tiktokens_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As it finds it: two variables, then the folder for temporary files."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert not tokenizers._has_vocabulary()
    folder = tmp_path / "data-gym-cache"
    folder.mkdir()
    (folder / "fb374d419588a4632f3f557e76b4b70aebbca790").touch()
    assert tokenizers._has_vocabulary()
    assert not os.environ.get("TIKTOKEN_CACHE_DIR")
