"""What a Runtime may be given: checked when it is made, where the mistake is."""

import re

import pytest

from understudy import ConfigError, Runtime


@pytest.mark.parametrize(
    ("option", "value", "needed"),
    [
        ("name", 3, "a text is needed"),
        (
            "config",
            "understudy.toml",
            "give a Config, or use Runtime.from_toml(file)",
        ),
        ("limits", 3, "give a dict of Limit(...) by 'provider:model'"),
        ("prices", 3, "give a dict of Price(...) by 'provider:model'"),
        ("shutdown", "5s", "0 or more, as a number"),
        ("shutdown", -1, "0 or more, as a number"),
        ("clock", 3, "give a clock, such as ManualClock()"),
        ("seed", "x", "a whole number is needed"),
        ("workers", 0, "at least 1 is needed, as a whole number"),
        ("threads", "3", "at least 1 is needed, as a whole number"),
        ("max_runs", 0, "at least 1 is needed, as a whole number"),
    ],
)
def test_an_option_that_cannot_be_is_named(option: str, value: object, needed: str) -> None:
    """With the remedy; not an AttributeError or a TypeError when the first run begins."""
    told = f"Runtime({option}={value!r}): {needed}"
    with pytest.raises(ConfigError, match=f"^{re.escape(told)}$"):
        Runtime(**{option: value})  # type: ignore[arg-type]
