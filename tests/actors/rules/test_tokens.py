import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.tokens import estimate_tokens, token_eighths, tokens_of

TEXT = st.text(st.characters())  # lone surrogates included


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("word", 1), ("words", 2), ("漢字", 2), ("привет", 4), ("😀", 2)],
)
def test_known_texts(text: str, tokens: int) -> None:
    """English is four characters to a token, other scripts are more tokens to a character."""
    assert estimate_tokens(text) == tokens


@given(TEXT, TEXT)
def test_a_budget_kept_by_the_pieces_is_kept_by_the_whole(one: str, other: str) -> None:
    """Eighths add up exactly, so tokens are subadditive and never shrink."""
    assert token_eighths(one + other) == token_eighths(one) + token_eighths(other)
    whole = estimate_tokens(one + other)
    assert whole <= estimate_tokens(one) + estimate_tokens(other)
    assert whole >= max(estimate_tokens(one), estimate_tokens(other))
    assert whole == tokens_of(token_eighths(one + other))


def test_a_large_text_is_weighed_like_its_pieces() -> None:
    """A text above the size of a piece weighs what its characters weigh."""
    text = "né漢😀" * 100_000
    assert token_eighths(text) == 100_000 * token_eighths("né漢😀")
