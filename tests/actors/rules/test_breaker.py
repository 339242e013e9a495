import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.breaker import Breaker, BreakerPolicy


def opened(at: float = 0.0) -> Breaker:
    """A breaker that has opened at that time."""
    breaker = Breaker()
    for _ in range(10):
        breaker.record(at, ok=False)
    assert breaker.state(at) == "open"
    return breaker


def test_few_calls_open_nothing() -> None:
    """Nine failures in a row do not, the tenth call does."""
    breaker = Breaker()
    for _ in range(9):
        breaker.record(0.0, ok=False)
    assert breaker.state(0.0) == "closed"
    assert breaker.allow(0.0)
    breaker.record(0.0, ok=False)
    assert breaker.state(0.0) == "open"
    assert not breaker.allow(0.0)
    assert breaker.retry_after(1.0) == pytest.approx(4.0)


@pytest.mark.parametrize(("failures", "state"), [(9, "closed"), (10, "open")])
def test_half_of_the_calls_must_fail(failures: int, state: str) -> None:
    """Just under the rate it stays closed."""
    breaker = Breaker()
    for number in range(20):
        breaker.record(0.0, ok=number < 20 - failures)
    assert breaker.state(0.0) == state


def test_what_is_older_than_the_window_does_not_count() -> None:
    """Failures of 20 s ago are forgotten."""
    breaker = Breaker()
    for _ in range(9):
        breaker.record(0.0, ok=False)
    for _ in range(9):
        breaker.record(20.0, ok=False)
    assert breaker.state(20.0) == "closed"
    breaker.record(20.0, ok=False)
    assert breaker.state(20.0) == "open"


def test_one_probe_passes_then_three() -> None:
    """Half open, the others are not let through (L7); when all have succeeded it closes."""
    breaker = opened()
    assert breaker.state(5.0) == "half_open"
    assert [breaker.allow(5.0) for _ in range(4)] == [True, False, False, False]
    breaker.record(5.1, ok=True)
    assert [breaker.allow(5.1) for _ in range(5)] == [True, True, True, False, False]
    for _ in range(3):
        assert breaker.tripped
        breaker.record(5.2, ok=True)
    assert breaker.state(5.2) == "closed"
    assert not breaker.tripped
    assert all(breaker.allow(5.2) for _ in range(10))


def test_a_failed_probe_opens_it_for_twice_as_long() -> None:
    """5 s, 10 s, 20 s, 40 s, then 60 s; closing it forgets that."""
    breaker, now = opened(), 0.0
    for seconds in (10.0, 20.0, 40.0, 60.0, 60.0):
        now += breaker.retry_after(now)
        assert breaker.allow(now)
        breaker.record(now, ok=False)
        assert breaker.retry_after(now) == pytest.approx(seconds)
        assert not breaker.allow(now)
    now += 60.0
    for _ in range(4):
        assert breaker.allow(now)
        breaker.record(now, ok=True)
    for _ in range(10):
        breaker.record(now, ok=False)
    assert breaker.retry_after(now) == pytest.approx(5.0)


def test_a_call_from_before_it_opened_is_no_probe() -> None:
    """It neither closes it nor opens it for longer."""
    breaker = opened()
    breaker.record(1.0, ok=False)
    assert breaker.retry_after(1.0) == pytest.approx(4.0)
    for _ in range(5):
        breaker.record(1.0, ok=True)
    assert breaker.state(1.0) == "open"


def test_a_probe_that_is_forgone_makes_way() -> None:
    """Who was allowed and did not call does not keep the breaker half open for ever."""
    breaker = opened()
    assert breaker.allow(5.0)
    assert not breaker.allow(5.0)
    breaker.forgo()
    assert breaker.allow(5.0)


@given(st.lists(st.tuples(st.floats(0.0, 10.0), st.booleans()), max_size=80))
def test_a_tripped_breaker_lets_few_through(calls: list[tuple[float, bool]]) -> None:
    """Never more than three at a time while it is half open, none while it is open."""
    breaker, now, out = Breaker(BreakerPolicy(min_calls=3)), 0.0, 0
    for pause, ok in calls:
        now += pause
        state = breaker.state(now)
        allowed = breaker.allow(now)
        assert allowed is (state != "open" and (state == "closed" or allowed))
        if state == "half_open":
            out += allowed
            assert out <= 3
        if allowed:
            breaker.record(now, ok=ok)
            out = 0 if breaker.state(now) != "half_open" else max(0, out - 1)
        else:
            assert state != "closed"


def test_scouts_look_while_it_is_open() -> None:
    """One call every so often; a success makes it half open, with three probes to go."""
    breaker = Breaker(BreakerPolicy(scout=2.0, open_for=60.0))
    for _ in range(10):
        breaker.record(0.0, ok=False)
    assert [t for t in range(9) if breaker.scout(float(t))] == [2, 4, 6, 8]
    assert not breaker.allow(8.0)
    breaker.found_well(9.0)
    assert breaker.state(9.0) == "half_open"
    assert [breaker.allow(9.0) for _ in range(4)] == [True, True, True, False]
    for _ in range(3):
        breaker.record(9.5, ok=True)
    assert breaker.state(9.5) == "closed"


def test_without_scouts_nothing_passes() -> None:
    """They are asked for; and what one finds when it is not open any more changes nothing."""
    breaker = opened()
    assert not any(breaker.scout(t / 10) for t in range(60))
    breaker.found_well(5.5)
    assert [breaker.allow(5.5), breaker.allow(5.5)] == [True, False]
