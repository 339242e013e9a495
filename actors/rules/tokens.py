"""How many tokens a text is, when no provider has said.

Gives one estimate that is the same everywhere: limiters reserve by it, windows are trimmed by it,
and ``local:extractive`` counts its input and output with it.

Guarantees: linear in the text and cheap (plain ASCII costs the same for one character and for a
million), deterministic, monotonic (a longer text is never estimated shorter) and subadditive
(``estimate_tokens(a + b) <= estimate_tokens(a) + estimate_tokens(b)``), so a budget that was kept
piece by piece is kept by the whole.

Assumes the byte-pair vocabularies of today's models: about four characters of English to a token,
about 0.6 tokens for a Greek or Cyrillic letter, about one for a Chinese character, more for an
emoji. The error on English prose is 10-20 %; on code and tables, which have shorter tokens, the
estimate may be a third too low.

Why not a real tokenizer: it weighs megabytes, differs by model, and what is decided by this number
(when to wait, what to drop) is settled against the provider's own count afterwards.
"""

from __future__ import annotations

EIGHTHS_PER_CHARACTER = 2
EIGHTHS_PER_EXTRA_BYTE = 3
_PIECE = 1 << 18


def estimate_tokens(text: str) -> int:
    """Estimate how many tokens a text is; 0 for the empty text, at least 1 for any other."""
    return tokens_of(token_eighths(text))


def token_eighths(text: str) -> int:
    """Weigh a text in eighths of a token.

    Weights add up: the weight of a text is the sum of the weights of its pieces, however it was
    cut. So a long text can be weighed a slice at a time; `tokens_of` rounds the sum.
    """
    if text.isascii():
        return EIGHTHS_PER_CHARACTER * len(text)
    if len(text) > _PIECE:  # a piece at a time, so that no second copy of a large text is held
        pieces = range(0, len(text), _PIECE)
        return sum(token_eighths(text[start : start + _PIECE]) for start in pieces)
    extra = len(text.encode("utf-8", "surrogatepass")) - len(text)
    return EIGHTHS_PER_CHARACTER * len(text) + EIGHTHS_PER_EXTRA_BYTE * extra


def tokens_of(eighths: int) -> int:
    """Round a weight from `token_eighths` up to whole tokens."""
    return -(-eighths // 8)
