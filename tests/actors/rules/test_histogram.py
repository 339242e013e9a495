import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.histogram import Histogram

TIMES = st.lists(st.integers(0, 10**10), min_size=1, max_size=300)


def histogram(micros: list[int]) -> Histogram:
    """With these times."""
    made = Histogram()
    for value in micros:
        made.record(value / 1e6)
    return made


@given(TIMES, st.sampled_from([0, 1, 25, 50, 90, 95, 99, 99.9, 100]))
def test_a_percentile_is_right_within_a_hundredth_and_never_flatters(
    micros: list[int], percent: float
) -> None:
    """Against the sorted list: at least the exact value, and at most 0.8 % more."""
    exact = sorted(micros)[max(1, math.ceil(round(len(micros) * percent / 100, 6))) - 1]
    found = round(histogram(micros).percentile(percent) * 1e6)
    assert exact <= found <= exact * 1.008


def test_a_percentile_is_not_a_place_further_for_being_no_binary_number() -> None:
    """99.9 % of 41,000 are 40,959 of them, though 99.9 has no exact form."""
    assert math.ceil(41_000 * 99.9 / 100) == 40_960, "41,000 * 99.9 / 100 is 40,959.000000000007"
    micros = [10] * 40_959 + [1_000] * 41
    assert histogram(micros).percentile(99.9) == 10 / 1e6


@given(TIMES)
def test_extremes_mean_and_count_are_exact(micros: list[int]) -> None:
    """They are kept beside the parts."""
    made = histogram(micros)
    assert made.count == len(micros)
    assert made.least == min(micros) / 1e6
    assert made.most == max(micros) / 1e6 == made.percentile(100)
    assert made.mean == pytest.approx(sum(micros) / len(micros) / 1e6)


@given(TIMES, TIMES)
def test_two_added_up_are_one(left: list[int], right: list[int]) -> None:
    """Merging gives what recording everything in one place gives."""
    merged = histogram(left)
    merged.merge(histogram(right))
    merged.merge(Histogram())
    whole = histogram(left + right)
    assert list(merged.buckets(128)) == list(whole.buckets(128))
    assert (merged.least, merged.most, merged.mean) == (whole.least, whole.most, whole.mean)


@given(TIMES, st.sampled_from([1, 2, 8, 128]))
def test_buckets_hold_everything_once(micros: list[int], per_doubling: int) -> None:
    """In order, without overlap, each value in its own."""
    edges = list(histogram(micros).buckets(per_doubling))
    flat = [edge for low, high, _ in edges for edge in (low, high)]
    assert flat == sorted(flat)
    for low, high, count in edges:
        assert count == sum(low <= value / 1e6 <= high for value in micros)


def test_its_size_does_not_grow_with_what_it_holds() -> None:
    """A hundred thousand times between 1 ms and 1 s take at most 128 places a doubling."""
    made = histogram([1_000 + 9 * number for number in range(100_000)])
    assert len(list(made.buckets(128))) <= 128 * 10


def test_nothing_recorded_is_zero() -> None:
    """Reports of runs in which nothing was answered have numbers too."""
    made = Histogram()
    assert (made.percentile(99), made.mean, made.least, made.most) == (0, 0, 0, 0)
    assert list(made.buckets()) == []


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    """And not as an index below all others."""
    made = Histogram()
    made.record(-1.0)
    assert (made.count, made.percentile(50)) == (1, 0.0)


def test_arguments_that_make_no_sense() -> None:
    """They say what is asked for."""
    with pytest.raises(ValueError, match="from 0 to 100"):
        Histogram().percentile(101)
    with pytest.raises(ValueError, match="power of two"):
        list(Histogram().buckets(3))
