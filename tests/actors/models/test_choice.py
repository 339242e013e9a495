"""Which transport a Runtime takes, and what it says when it cannot."""

import importlib.util
import sys
from pathlib import Path

import httpx
import pytest

from understudy import Runtime
from understudy.actors.models import choice, transport
from understudy.actors.models.choice import transport_maker
from understudy.messages.errors import ConfigError
from understudy.testing import ScriptedTransport


@pytest.fixture
def extra(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether httptools can be found."""
    there = bool(request.param)
    monkeypatch.setattr(choice, "find_spec", lambda _: object() if there else None)
    return there


def parser_of(made: httpx.AsyncBaseTransport) -> str:
    """Who parses for it."""
    assert isinstance(made, transport.LeasedTransport)
    return made.parser


@pytest.mark.parametrize(
    ("extra", "given", "parser"),
    [
        (False, None, "h11"),
        (False, "auto", "h11"),
        (False, "plain", "h11"),
        (True, None, "llhttp"),
        (True, "auto", "llhttp"),
        (True, "plain", "h11"),
        (True, "fast", "llhttp"),
    ],
    indirect=["extra"],
)
def test_names(*, extra: bool, given: str | None, parser: str) -> None:
    """The fast one is taken where it is installed, unless the plain one is asked for."""
    if extra:
        pytest.importorskip("httptools", reason="the extra 'fast' is not installed")
    assert parser_of(transport_maker(given)()) == parser


@pytest.mark.parametrize("extra", [False], indirect=True)
def test_what_is_missing_is_named(*, extra: bool, tmp_path: Path) -> None:
    """Asking for the fast one without its extra fails at once, in code and from a file."""
    with pytest.raises(ConfigError, match=r"understudy\[fast\]"):
        Runtime(transport="fast")
    (tmp_path / "u.toml").write_text('[llm]\ntransport = "fast"\n')
    with pytest.raises(ConfigError, match=r"understudy\[fast\]"):
        Runtime.from_toml(tmp_path / "u.toml")
    Runtime.from_toml(tmp_path / "u.toml", transport="plain")  # what code says wins


def test_the_parser_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also whoever makes the transport is told the extra."""
    monkeypatch.setitem(sys.modules, "httptools", None)
    with pytest.raises(ConfigError, match=r"understudy\[fast\]"):
        transport.LeasedTransport(parser="llhttp")


def test_names_that_nobody_has(tmp_path: Path) -> None:
    """Another name, another parser or something that is no transport is an error that says so."""
    with pytest.raises(ConfigError, match=r"'quick'.*'auto', 'plain', 'fast'"):
        Runtime(transport="quick")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"no httpx\.AsyncBaseTransport"):
        Runtime(transport=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'h11' or 'llhttp'"):
        transport.LeasedTransport(parser="h12")  # type: ignore[arg-type]
    (tmp_path / "u.toml").write_text('[llm]\ntransport = "quick"\n')
    with pytest.raises(ConfigError, match=r"llm\.transport.*quick"):
        Runtime.from_toml(tmp_path / "u.toml")


def test_an_object_is_taken_as_it_is() -> None:
    """A transport of the caller's own stays the caller's choice."""
    given = ScriptedTransport([])
    assert transport_maker(given)() is given


@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="no uvloop")
def test_the_thread_of_a_runtime_runs_uvloop() -> None:
    """Its own loop is uvloop's where that is installed; nobody else's is."""
    import asyncio

    import uvloop

    with Runtime() as rt:
        assert isinstance(rt.system.loop, uvloop.Loop)
    with asyncio.Runner() as runner:
        assert not isinstance(runner.get_loop(), uvloop.Loop)
