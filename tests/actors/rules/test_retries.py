import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.retries import RetryBudget, RetryPolicy, falls_back, retry_delay
from understudy.messages.errors import (
    AuthenticationError,
    BadRequestError,
    BreakerOpenError,
    ConnectError,
    ContentFilterError,
    ContextWindowError,
    DeadlineExceededError,
    OutputError,
    OverloadedError,
    RateLimitError,
    ResponseError,
    RunCancelledError,
    ServerError,
    StreamBrokenError,
)

POLICY = RetryPolicy()


@given(st.integers(1, 2), st.floats(0, 1, exclude_max=True))
def test_delays_are_full_jitter(attempts: int, random: float) -> None:
    """Between nothing and a bound that doubles."""
    delay = retry_delay(POLICY, attempts, random, None)
    assert delay is not None
    assert 0 <= delay <= 0.5 * 2 ** (attempts - 1)
    assert delay == pytest.approx(random * 0.5 * 2 ** (attempts - 1))


def test_the_bound_is_bounded() -> None:
    """Thirty seconds, however often."""
    many = RetryPolicy(attempts=100)
    assert retry_delay(many, 50, 0.999, None) == pytest.approx(30, rel=0.01)


def test_what_the_server_asks_for_wins() -> None:
    """Never less than it said, a tenth more at most, and not what nobody waits for."""
    assert retry_delay(POLICY, 1, 0.0, 7.0) == 7.0
    assert retry_delay(POLICY, 1, 0.999, 7.0) == pytest.approx(7.7, rel=0.01)
    assert retry_delay(POLICY, 1, 0.0, 121.0) is None


def test_three_attempts() -> None:
    """After the third there is no fourth, whatever the server says."""
    assert retry_delay(POLICY, 3, 0.5, None) is None
    assert retry_delay(POLICY, 3, 0.5, 1.0) is None


def test_the_budget_is_a_share_of_the_calls() -> None:
    """A few at once, then one for ten calls."""
    budget = RetryBudget()
    assert sum(budget.spend() for _ in range(100)) == 10
    for _ in range(1_000):
        budget.called()
    assert sum(budget.spend() for _ in range(100)) == 10, "it does not pile up"
    spent = 0
    for _ in range(1_000):
        budget.called()
        spent += budget.spend()
    assert spent == pytest.approx(100, abs=1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ServerError("x", status=503), True),
        (ConnectError("x"), True),
        (OverloadedError("x"), True),
        (BreakerOpenError("x"), True),
        (RateLimitError("x", status=429), True),
        (RateLimitError("a permit is 20 s away"), True),
        (ContextWindowError("x"), True),
        (StreamBrokenError("x"), True),
        (AuthenticationError("x"), False),
        (BadRequestError("x"), False),
        (ContentFilterError("x"), False),
        (ResponseError("x"), False),
        (OutputError("x"), False),
        (DeadlineExceededError("x"), False),
        (RunCancelledError("x"), False),
        (ValueError("x"), False),
    ],
)
def test_which_failures_justify_another_model(error: BaseException, *, expected: bool) -> None:
    """Those of the provider do; those of the call, and a time that is over, do not."""
    assert falls_back(error) is expected
    assert not falls_back(error, delivered=True), "half an answer of one, half of another"
