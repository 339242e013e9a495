"""Durations have units."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.messages.errors import ConfigError
from understudy.runtime.config.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("20s", 20.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("7d", 604_800.0),
        ("1m500ms", 60.5),
        ("1.5s", 1.5),
        ("0s", 0.0),
        (" 2s ", 2.0),
        ("1d2h3m4s5ms", 93_784.005),
    ],
)
def test_units_are_added_up(text: str, seconds: float) -> None:
    """Every unit, alone and together, gives seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [20, 0.5, "20", "0.5"])
def test_a_number_is_told_which_unit_is_missing(value: object) -> None:
    """The sentence writes the number as it could have been meant."""
    with pytest.raises(ConfigError, match=rf'has no unit; write "{value}s" or "{value}ms"'):
        parse_duration(value)


@pytest.mark.parametrize(
    "value",
    ["", "s", "5 m", "5min", "30m1h", "1s1s", "-5s", "1e3s", ".5s", "٣s", "9" * 400 + "s", "infs"],
)
def test_other_text_is_refused(value: str) -> None:
    """Unknown units, a wrong order, signs and endless numbers say how to write it."""
    with pytest.raises(ConfigError, match=r'is not a duration; write numbers with .* "1h30m"'):
        parse_duration(value)


@pytest.mark.parametrize("value", [True, None, ["5s"], {}])
def test_what_is_no_text_is_refused(value: object) -> None:
    """Truth is not a number of seconds."""
    with pytest.raises(ConfigError, match="is text with a unit"):
        parse_duration(value)


@given(st.text(alphabet="0123456789.smhd ", max_size=12))
def test_any_text_gives_seconds_or_a_clear_error(text: str) -> None:
    """Nothing but a ConfigError comes out, and never a negative time."""
    with contextlib.suppress(ConfigError):
        assert parse_duration(text) >= 0
