"""What model calls cost: pure rules over a table of prices.

A name is looked up as the agent spells it (`openai:gpt-5-mini`), first in the user's own table,
whose keys may be patterns (`"openai:gpt-5*"`, the first that matches counts), then in the table
that is shipped. A date behind a name is no part of it: providers answer with
`gpt-5-mini-2025-08-07` where `gpt-5-mini` was asked. A model that nobody has priced costs None,
never 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from understudy.actors.rules.price_list import PRICES
from understudy.messages.budgets import Price
from understudy.messages.errors import ConfigError

_DATED = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
_FREE = Price(input=0.0, output=0.0)
_UNPAID = frozenset({"local", "ollama"})


class Prices:
    """The prices that one Runtime reckons with.

    Args:
        own: the user's, by pattern of `provider:model`; they win over the shipped ones.

    Raises:
        ConfigError: a key without a colon, or a value that is no Price.
    """

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        self._own = dict(own or {})
        for pattern, price in self._own.items():
            given: object = price
            if ":" not in pattern or not isinstance(given, Price):
                msg = (
                    f"prices={{{pattern!r}: {given!r}}}: write "
                    "{'provider:model': Price(input=..., output=...)}"
                )
                raise ConfigError(msg)
        self._known: dict[tuple[str, str], Price | None] = {}

    def of(self, provider: str, model: str) -> Price | None:
        """The price of a model, or None where nobody has said it."""
        key = (provider, model)
        try:
            return self._known[key]
        except KeyError:
            price = self._known[key] = self._find(provider, model)
            return price

    def _find(self, provider: str, model: str) -> Price | None:
        names = dict.fromkeys((f"{provider}:{model}", f"{provider}:{_DATED.sub('', model)}"))
        for name in names:
            for pattern, price in self._own.items():
                if fnmatchcase(name, pattern):
                    return price
        for name in names:
            if name in PRICES:
                return PRICES[name]
        return _FREE if provider in _UNPAID else None
