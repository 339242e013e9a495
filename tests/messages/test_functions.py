"""Functions by import path."""

import functools
import json
import os.path
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.messages.errors import ConfigError
from understudy.messages.functions import function_path, load_function
from understudy.messages.secrets import Secret, resolve_secret


class Callable_:  # noqa: N801
    def __call__(self) -> None:
        """Be callable."""


@functools.wraps(resolve_secret)
def impostor() -> None:
    """Bear another function's name."""


def closure() -> Callable[[], None]:
    """Give a function that only this call has."""

    def inner() -> None:
        pass

    return inner


@pytest.mark.parametrize(
    "function",
    [resolve_secret, json.dumps, len, os.path.join, Secret, Secret.reveal],
)
def test_a_path_leads_back_to_the_function(function: Callable[..., Any]) -> None:
    """Functions, classes and what they hold come back as they went."""
    assert load_function(function_path(function)) == function


def of_main() -> None:
    """Pretend to be defined in a script."""


of_main.__module__ = "__main__"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: None, "a lambda"),
        (closure(), "inner is defined inside a function"),
        (of_main, "of_main is defined in __main__"),
        (functools.partial(len), "an object of type partial has no import path"),
        (Callable_(), "an object of type Callable_ has no import path"),
        (impostor, "understudy.messages.secrets:resolve_secret is not the function given"),
        (Secret("x").reveal, "is not the function given"),
        ("".join, "has no import path"),
        (dict.fromkeys, "has no import path"),
    ],
)
def test_what_no_other_process_could_find_is_refused(
    function: Callable[..., Any], words: str
) -> None:
    """The reason is named."""
    with pytest.raises(ConfigError, match=words):
        function_path(function)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("json.dumps", "not of the form 'package.module:function'"),
        ("json:dumps()", "not of the form"),
        ("json:", "not of the form"),
        ("os;x:y", "not of the form"),
        ("__main__:run", "names __main__"),
        ("no_such_module_here:run", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("json:dump_s", "there is no 'dump_s'; did you mean 'dumps'?"),
        ("json:nothing.at.all", "there is no 'nothing'"),
        ("json:__name__", "is a str, not a function"),
    ],
)
def test_a_path_that_leads_nowhere_says_why(path: str, words: str) -> None:
    """The path and the reason are in the sentence."""
    with pytest.raises(ConfigError) as caught:
        load_function(path)
    assert path in caught.value.message
    assert words in caught.value.message


@pytest.mark.parametrize("body", ["raise SystemExit(3)", "1/0", "def (", "raise KeyError('x')"])
def test_a_module_that_fails_to_import_is_a_config_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """Whatever a module raises while it is imported becomes the reason, not the end."""
    (tmp_path / "failing_module.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="'failing_module:run' cannot be imported: "):
        load_function("failing_module:run")


def test_the_path_is_checked_against_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function whose module has since been replaced is refused."""
    monkeypatch.setitem(sys.modules, "json", SimpleNamespace())
    with pytest.raises(ConfigError, match="json:dumps is not the function given"):
        function_path(json.dumps)
