import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.limiters.buckets import Buckets
from understudy.messages.limits import Acquire, Headroom, Limit

MODEL = "m"


def ask(inputs: int = 0, outputs: int = 0, model: str = MODEL) -> Acquire:
    """A call of that size."""
    return Acquire(ticket="t", model=model, input_tokens=inputs, output_tokens=outputs)


def passed(buckets: Buckets, until: float, call: Acquire) -> list[float]:
    """When calls are made that are made as early as possible."""
    now, times = 0.0, []
    while now <= until:
        wait = buckets.wait(now, call)
        if wait > 1e-9:
            now += wait
            continue
        buckets.take(now, call)
        times.append(now)
    return times


@pytest.mark.parametrize(
    ("limit", "call", "a_minute"),
    [
        (Limit(requests_per_second=5), ask(), 300),
        (Limit(requests_per_minute=120), ask(), 120),
        (Limit(tokens_per_minute=6_000), ask(30, 20), 120),
        (Limit(input_tokens_per_minute=6_000), ask(50, 10_000), 120),
        (Limit(output_tokens_per_minute=6_000), ask(10_000, 50), 120),
        (Limit(requests_per_minute=600, tokens_per_minute=6_000), ask(30, 20), 120),
    ],
)
def test_each_dimension_is_kept_and_used(limit: Limit, call: Acquire, a_minute: int) -> None:
    """In any minute at most the rate and a burst of one second; in the long run all of it."""
    times = passed(Buckets(limit), 600.0, call)
    burst = a_minute / 60 + 1
    for start in times[:: a_minute // 4]:
        assert sum(start <= time < start + 60 for time in times) <= a_minute + burst
    assert len(times) == pytest.approx(10 * a_minute, rel=0.02)


def test_there_is_no_edge_to_let_twice_the_limit_through() -> None:
    """A burst before the edge of a minute leaves nothing for one after it."""
    buckets = Buckets(Limit(requests_per_minute=60, burst=60))
    at_the_edge = 59.9
    for _ in range(60):
        assert buckets.wait(at_the_edge, ask()) == 0.0
        buckets.take(at_the_edge, ask())
    assert buckets.wait(60.1, ask()) == pytest.approx(0.8)


def test_what_is_larger_than_the_burst_passes_and_is_owed() -> None:
    """It does not wait for ever: it goes when nothing was used, and the next one waits for both."""
    buckets = Buckets(Limit(tokens_per_minute=6_000))
    large = ask(5_000)
    assert buckets.wait(0.0, large) == 0.0
    buckets.take(0.0, large)
    assert buckets.wait(0.0, large) == pytest.approx(50.0)
    assert buckets.wait(50.0, large) == 0.0


def test_estimates_are_settled() -> None:
    """What was reserved and not used is there for others; what was used unreserved is owed."""
    buckets = Buckets(Limit(tokens_per_minute=6_000, burst=10))
    buckets.take(0.0, ask(100, 900))
    assert buckets.wait(0.0, ask(1_000)) == pytest.approx(10.0)
    buckets.settle(ask(100, 900), 100, 100)
    assert buckets.wait(0.0, ask(1_000)) == pytest.approx(2.0)
    buckets.settle(ask(100, 100), 100, 700)
    assert buckets.wait(0.0, ask(1_000)) == pytest.approx(8.0)
    buckets.settle(ask(100, 100), None, None)
    assert buckets.wait(0.0, ask(1_000)) == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("dimension", "call"),
    [("requests", ask()), ("tokens", ask(60, 40)), ("input_tokens", ask(100))],
)
def test_headers_make_buckets(dimension: str, call: Acquire) -> None:
    """Without any configuration, a provider that says that nothing is left is believed."""
    buckets = Buckets(Limit())
    assert buckets.wait(0.0, call) == 0.0
    limit = 60.0 if dimension == "requests" else 6_000.0
    buckets.learn(0.0, MODEL, Headroom(dimension=dimension, remaining=0, reset=60, limit=limit))
    assert buckets.wait(0.0, call) == pytest.approx(1.0)
    assert buckets.wait(0.0, ask(100, 100, model="another")) == 0.0, "limits are by model"


def test_headers_never_loosen() -> None:
    """A provider that says more is left, or allows more, changes nothing."""
    buckets = Buckets(Limit(requests_per_minute=60))
    buckets.take(0.0, ask())
    before = buckets.wait(0.0, ask())
    plenty = Headroom(dimension="requests", remaining=10_000, reset=0.0, limit=10_000)
    buckets.learn(0.0, MODEL, plenty)
    assert buckets.wait(0.0, ask()) == before == pytest.approx(1.0)


def test_a_lower_limit_in_the_headers_counts() -> None:
    """A thousand were configured, the account has sixty."""
    buckets = Buckets(Limit(requests_per_minute=1_000))
    buckets.learn(0.0, MODEL, Headroom(dimension="requests", remaining=59, reset=1.0, limit=60))
    times = passed(buckets, 120.0, ask())
    assert len(times) <= 122
    buckets.learn(120.0, MODEL, Headroom(dimension="requests", remaining=29, reset=1.0, limit=30))
    buckets.take(120.0, ask())
    assert buckets.wait(120.0, ask()) >= 1.9


def test_a_bucket_of_a_day_is_no_bucket_of_a_minute() -> None:
    """Ten thousand a day are seven a minute, whatever the header's name."""
    buckets = Buckets(Limit())
    used_up = Headroom(dimension="requests", remaining=0, reset=86_400, limit=10_000)
    buckets.learn(0.0, MODEL, used_up)
    assert buckets.wait(0.0, ask()) == pytest.approx(8.64)


def test_unknown_dimensions_are_ignored() -> None:
    """Further families of headers appear now and then."""
    buckets = Buckets(Limit())
    buckets.learn(0.0, MODEL, Headroom(dimension="images", remaining=0, reset=60, limit=5))
    buckets.learn(0.0, MODEL, Headroom(dimension="requests", remaining=0, reset=60))
    assert buckets.wait(0.0, ask()) == 0.0


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=40),
    st.integers(60, 60_000),
)
def test_a_queue_waits_no_longer_than_one_by_one(calls: list[tuple[int, int]], rate: int) -> None:
    """Who is refused because the queue is too long would really have come too late."""
    limit = Limit(tokens_per_minute=rate, requests_per_minute=120)
    buckets = Buckets(limit)
    used = (sum(c[0] for c in calls), sum(c[1] for c in calls))
    expected = buckets.queue_wait(0.0, MODEL, len(calls), used)
    now = 0.0
    for inputs, outputs in calls:
        now += buckets.wait(now, ask(inputs, outputs))
        buckets.take(now, ask(inputs, outputs))
    # One that is larger than the burst goes first and is owed: the last one does not pay for it.
    owed = max(a + b for a, b in calls) / (rate / 60)
    assert now <= expected + 1e-6 + owed
    assert expected <= now + owed + 1e-6
