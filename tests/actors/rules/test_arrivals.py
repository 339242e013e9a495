from itertools import islice, pairwise

import pytest

from understudy import ConfigError
from understudy.actors.rules.arrivals import arrivals


def test_an_even_pace_does_not_drift() -> None:
    """The millionth request of 3 a second is due at its number over the rate, exactly."""
    *_, last = islice(arrivals(3.0), 1_000_001)
    assert last == 1_000_000 / 3.0
    assert list(islice(arrivals(4.0), 3)) == [0.0, 0.25, 0.5]


def test_a_random_pace_is_that_of_its_seed_and_keeps_its_rate() -> None:
    """The same seed, the same schedule; gaps vary, and their mean is one over the rate."""
    times = list(islice(arrivals(50.0, "poisson", seed=7), 20_001))
    assert times == list(islice(arrivals(50.0, "poisson", seed=7), 20_001))
    assert times[:9] != list(islice(arrivals(50.0, "poisson", seed=8), 9))
    gaps = [after - before for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(1 / 50, rel=0.05)
    assert variance == pytest.approx(mean**2, rel=0.1)  # of the exponential distribution
    assert times[0] == 0.0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_that_are_none(rate: float) -> None:
    """They are refused at once, not when the first request is due."""
    with pytest.raises(ConfigError, match="requests a second"):
        arrivals(rate)
