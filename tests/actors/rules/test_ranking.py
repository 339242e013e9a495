import pytest

from understudy.actors.rules.ranking import MAX_WORDS, coverage, fuse, query_words


def test_what_is_high_in_both_comes_first() -> None:
    """And what only one list has, after it; a tie goes to the first list."""
    assert fuse([[1, 2, 3], [3, 4, 1]])[:2] == [1, 3]
    assert fuse([[1, 2], [3, 4]]) == [1, 3, 2, 4]
    assert fuse([[], []]) == []


def test_rare_words_weigh_more() -> None:
    """All words are 1.0, none is 0.0, whatever the size of the collection."""
    found = {"the": {1, 2, 3, 4}, "cat": {1}}
    scores = coverage(found, 4, [1, 2, 5])
    assert scores[1] == pytest.approx(1.0)
    assert 0.0 < scores[2] < 0.5
    assert scores[5] == 0.0
    assert coverage({}, 4, [1]) == {1: 0.0}


def test_the_words_of_a_question() -> None:
    """Each once, in lower case, and not more than so many."""
    assert query_words('The cat, the "CAT" (or) dog?') == ("the", "cat", "or", "dog")
    assert len(query_words(" ".join(f"w{n}" for n in range(100)))) == MAX_WORDS
