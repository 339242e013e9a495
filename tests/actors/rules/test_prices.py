import datetime as dt

import pytest

from understudy.actors.rules.price_list import AS_OF, PRICES
from understudy.actors.rules.prices import Prices
from understudy.messages.budgets import Price
from understudy.messages.chat import Usage
from understudy.messages.errors import ConfigError


def test_cached_tokens_have_their_own_price() -> None:
    """A million of each: fresh input, cached input, output."""
    usage = Usage(input_tokens=2_000_000, cached_tokens=1_000_000, output_tokens=1_000_000)
    assert Price(input=2.0, output=8.0, cached=0.5).of(usage) == 10.5
    assert Price(input=2.0, output=8.0).of(usage) == 12.0


def test_a_dated_name_has_the_price_of_its_model() -> None:
    """Providers answer with a date behind the name that was asked for."""
    prices = Prices()
    plain = prices.of("openai", "gpt-5-mini")
    assert plain is not None
    assert prices.of("openai", "gpt-5-mini-2025-08-07") == plain
    assert (
        prices.of("anthropic", "claude-haiku-4-5-20251001") == PRICES["anthropic:claude-haiku-4-5"]
    )
    assert prices.of("openai", "gpt-5-mini-next") is None


def test_the_users_prices_win_and_may_be_patterns() -> None:
    """The first pattern that matches counts, before the shipped table."""
    mine, other = Price(input=1, output=1), Price(input=9, output=9)
    prices = Prices({"openai:gpt-5-*": mine, "openai:*": other})
    assert prices.of("openai", "gpt-5-mini") == mine
    assert prices.of("openai", "o1") == other
    assert prices.of("gemini", "gemini-2.5-flash") == PRICES["gemini:gemini-2.5-flash"]


def test_what_runs_here_is_free_and_what_is_unknown_has_no_price() -> None:
    """None is not 0: nobody has said."""
    prices = Prices()
    free = prices.of("ollama", "llama3")
    assert free is not None
    assert free.of(Usage(input_tokens=5)) == 0
    assert prices.of("fake", "fake") is None


def test_the_table_is_dated_and_sane() -> None:
    """Every price is a provider's model, and output is never cheaper than cached input."""
    dt.date.fromisoformat(AS_OF)
    for name, price in PRICES.items():
        assert name.partition(":")[0] in ("openai", "anthropic", "gemini"), name
        assert price.output >= price.input >= (price.cached or 0), name


def test_keys_without_a_provider_are_refused() -> None:
    """The error shows how to write it."""
    with pytest.raises(ConfigError, match="provider:model"):
        Prices({"gpt-5": Price(input=1, output=1)})
