"""The prices that are shipped: data, and the day they are from.

Prices change, and this file does not change by itself: give your own for what you rely on
(`Runtime(prices=...)`, `[prices]`). Only models with one price for all prompts are listed; where a
provider charges long prompts differently there is no single number to ship.

Source: the table of pydantic/genai-prices, commit 47df840a (US dollars for a million tokens).
"""

from __future__ import annotations

from understudy.messages.budgets import Price

AS_OF = "2026-08-21"
"""The day of the table."""


def _price(input_: float, output: float, cached: float | None = None) -> Price:
    return Price(input=input_, output=output, cached=cached)


PRICES: dict[str, Price] = {
    "openai:gpt-4.1": _price(2, 8, 0.5),
    "openai:gpt-4.1-mini": _price(0.4, 1.6, 0.1),
    "openai:gpt-4.1-nano": _price(0.1, 0.4, 0.025),
    "openai:gpt-4o": _price(2.5, 10, 1.25),
    "openai:gpt-4o-mini": _price(0.15, 0.6, 0.075),
    "openai:gpt-5": _price(1.25, 10, 0.125),
    "openai:gpt-5-mini": _price(0.25, 2, 0.025),
    "openai:gpt-5-nano": _price(0.05, 0.4, 0.005),
    "openai:gpt-5-pro": _price(15, 120),
    "openai:gpt-5.1": _price(1.25, 10, 0.125),
    "openai:gpt-5.2": _price(1.75, 14, 0.175),
    "openai:gpt-5.2-pro": _price(21, 168),
    "openai:gpt-5.3": _price(1.75, 14, 0.175),
    "openai:gpt-5.4-mini": _price(0.75, 4.5, 0.075),
    "openai:gpt-5.4-nano": _price(0.2, 1.25, 0.02),
    "openai:gpt-5.5": _price(5, 30, 0.5),
    "openai:gpt-5.5-pro": _price(30, 180),
    "openai:o1": _price(15, 60, 7.5),
    "openai:o3-mini": _price(1.1, 4.4, 0.55),
    "openai:o4-mini": _price(1.1, 4.4, 0.275),
    "anthropic:claude-3-5-haiku": _price(0.8, 4, 0.08),
    "anthropic:claude-haiku-4-5": _price(1, 5, 0.1),
    "anthropic:claude-opus-4": _price(15, 75, 1.5),
    "anthropic:claude-opus-4-1": _price(15, 75, 1.5),
    "anthropic:claude-opus-4-5": _price(5, 25, 0.5),
    "anthropic:claude-opus-4-7": _price(5, 25, 0.5),
    "anthropic:claude-opus-4-8": _price(5, 25, 0.5),
    "anthropic:claude-opus-5": _price(5, 25, 0.5),
    "anthropic:claude-sonnet-4": _price(3, 15, 0.3),
    "anthropic:claude-fable-5": _price(10, 50, 1),
    "gemini:gemini-2.0-flash": _price(0.1, 0.4, 0.025),
    "gemini:gemini-2.0-flash-lite": _price(0.075, 0.3),
    "gemini:gemini-2.5-flash": _price(0.3, 2.5, 0.03),
    "gemini:gemini-2.5-flash-lite": _price(0.1, 0.4, 0.01),
    "gemini:gemini-3-flash-preview": _price(0.5, 3, 0.05),
    "gemini:gemini-3.1-flash-lite": _price(0.25, 1.5, 0.025),
    "gemini:gemini-3.5-flash": _price(1.5, 9, 0.15),
    "gemini:gemini-3.5-flash-lite": _price(0.3, 2.5, 0.03),
}
