import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.gcra import Gcra


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 20)), min_size=1, max_size=40),
    st.floats(1, 1_000),
    st.floats(1, 50),
)
def test_no_interval_has_more_than_the_rate_and_a_burst(
    calls: list[tuple[float, float]], limit: float, burst: float
) -> None:
    """Whatever is asked whenever: from any moment on, what passes is bounded."""
    bucket = Gcra(limit, 60.0, burst)
    now, passed = 0.0, []
    for pause, cost in calls:
        now += pause
        now += bucket.wait(now, cost)
        bucket.take(now, cost)
        passed.append((now, cost))
    for index, (start, _) in enumerate(passed):
        units = sum(cost for _, cost in passed[index:-1])
        largest = max(cost for _, cost in passed[index:])
        allowed = (passed[-1][0] - start) * limit / 60 + max(burst, largest)
        assert units <= allowed * (1 + 1e-9) + 1e-6


def test_dust_is_no_time() -> None:
    """What floats leave over never becomes a timer that rings at the same instant for ever."""
    bucket = Gcra(60, 60.0, 60)
    for _ in range(60):
        assert bucket.wait(59.9, 1) == 0.0
        bucket.take(59.9, 1)


def test_tightening_only_tightens() -> None:
    """Less left than thought counts; more does not."""
    bucket = Gcra(60, 60.0, 60)
    bucket.tighten(0.0, remaining=10, reset=50)
    assert bucket.left(0.0) == pytest.approx(10)
    bucket.tighten(0.0, remaining=60, reset=0)
    assert bucket.left(0.0) == pytest.approx(10)


def test_slowing_only_slows() -> None:
    """A longer time a unit counts, with a burst of as many seconds; a shorter one does not."""
    bucket = Gcra(60, 60.0, 10)
    bucket.slow_to(2.0)
    bucket.slow_to(0.5)
    assert (bucket.limit, bucket.burst) == (30, 5)
    bucket.take(0.0, 6)
    assert bucket.wait(0.0, 1) == pytest.approx(4.0)
