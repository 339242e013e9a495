"""Secrets stay secret: in text, in encodings, in pickles."""

import copy
import pickle

import pytest

from understudy.messages.agents import AgentSpec
from understudy.messages.errors import CodecError, ConfigError
from understudy.messages.secrets import Secret, resolve_secret


def test_a_secret_shows_itself_nowhere() -> None:
    """Every way to text gives asterisks, also from within a struct."""
    secret = Secret("sk-live")
    texts = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret]  # noqa: UP031
    assert texts == ["***"] * 5
    assert "sk-live" not in repr(AgentSpec("openai:x", api_key=secret))
    assert secret.reveal() == "sk-live"


def test_secrets_compare_by_value() -> None:
    """Two specs with the same key are equal; a plain string is not a Secret."""
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_does_not_leave_by_pickle(leave: object) -> None:
    """Pickle, and copying by pickle's protocol, are refused."""
    assert callable(leave)
    with pytest.raises(CodecError, match="env:NAME"):
        leave(Secret("sk-live"))


def test_a_reference_is_read_late() -> None:
    """`env:NAME` is looked up in the mapping given; values and Secrets pass."""
    assert resolve_secret("env:KEY", {"KEY": "v"}) == Secret("v")
    assert resolve_secret("plain", {}) == Secret("plain")
    assert resolve_secret(Secret("s"), {}) == Secret("s")
    assert resolve_secret(None, {}) is None


@pytest.mark.parametrize("environ", [{}, {"KEY": ""}])
def test_a_missing_variable_is_named(environ: dict[str, str]) -> None:
    """An unset or empty variable says which one, and what to do."""
    with pytest.raises(ConfigError, match=r"KEY is not set; export KEY="):
        resolve_secret("env:KEY", environ)
