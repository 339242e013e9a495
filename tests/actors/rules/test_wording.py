"""Whether two questions are the same in other words: never wrongly."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.ngrams import cosine, ngram_vector, unpacked
from understudy.actors.rules.wording import loose_content, strict_content


def _pairs() -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    spec = spec_from_file_location("pairs", Path(__file__).with_name("pairs.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ADVERSARIAL, module.PARAPHRASES


ADVERSARIAL, PARAPHRASES = _pairs()


def test_no_pair_of_different_questions_is_the_same() -> None:
    """Five hundred and more that differ in a little: 0 false hits."""
    assert len(ADVERSARIAL) >= 500
    wrong = [(a, b) for a, b in ADVERSARIAL if strict_content(a) == strict_content(b)]
    assert wrong == []


def test_behind_the_wider_gate_the_hashed_vectors_let_none_through() -> None:
    """What the wider gate lets pass is stopped by the threshold, for this set."""
    wrong = []
    for a, b in ADVERSARIAL:
        if loose_content(a) == loose_content(b):
            score = cosine(unpacked(ngram_vector(a)), unpacked(ngram_vector(b)))
            if score is None or score >= 0.95:
                wrong.append((a, b, score))
    assert wrong == []


def test_the_same_in_other_words_is_found_often_enough() -> None:
    """Politeness, capitals at the beginning, spaces and stops change nothing."""
    found = [pair for pair in PARAPHRASES if strict_content(pair[0]) == strict_content(pair[1])]
    assert len(found) / len(PARAPHRASES) >= 0.6


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("What is the capital of France?", "what is the capital of France"),
        ("Could you please explain TCP?", "explain TCP"),
        ("Hello! Could you tell me a joke, please?", "tell me a joke"),
        ("thanks", "thanks"),
        ("please", "please"),
        ("can you", "can you"),
        ("Why?", "why"),
        ("?", "?"),
        ("", ""),
        ("  \n ", ""),
        ("How much is 5kg?", "how much is 5 kg"),
        ("Don't go.", "do not go"),
        ("CAN'T", "CAN NOT"),
    ],
)
def test_what_is_left_out(text: str, content: str) -> None:
    """And nothing else."""
    assert " ".join(strict_content(text)) == content


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_has_a_content_and_one_that_is_more_has_another(text: str, more: str) -> None:
    """No text breaks it; a number behind it is always seen, and words are never lost."""
    content = strict_content(text)
    assert strict_content(text) == content
    if more.strip().isalnum():
        assert strict_content(f"{text} 7 {more}") != strict_content(f"{text} 8 {more}")


@given(st.lists(st.sampled_from("not no never 5 EUR he she before after".split()), min_size=1))
def test_words_that_matter_are_never_left_out(words: list[str]) -> None:
    """Whatever their order, as many as there were are there."""
    text = " ".join(["Explain", *words, "it"])
    assert strict_content(text) == ("explain", *words, "it")


def test_vectors_of_ngrams_are_near_for_what_is_written_nearly_alike() -> None:
    """And have no cosine with what is no vector, or one of another length."""
    one, near, far = (
        unpacked(ngram_vector(text))
        for text in ("explain the tides", "explain the tide", "cook an egg")
    )
    assert cosine(one, one) == pytest.approx(1.0, abs=1e-6)
    assert (cosine(one, near) or 0.0) > 0.8 > (cosine(one, far) or 0.0)
    assert cosine(one, one[:-1]) is None
    assert cosine(one, (float("nan"),) * len(one)) is None
    assert cosine((0.0, 0.0), (0.0, 0.0)) is None
    assert cosine((), ()) is None
    assert cosine((float("inf"), 1.0), (1.0, 1.0)) is None
